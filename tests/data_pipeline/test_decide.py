"""Thresholds are changed without reading a text, and what each rule does is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_pipeline.documents_manifest import load_documents_manifest
from tests.data_pipeline import road


def decide(directory: Path, *more: str) -> dict:
    done = road.millrace(directory, "data", "decide", "data.yaml", "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_other_thresholds_are_decided_from_signals_and_a_run_goes_on_from_them(copy: Path) -> None:
    for path in (copy / "corpus" / "work" / "documents").rglob("*.arrow"):
        path.chmod(0o400)
    before = road.outputs(copy / "corpus")
    now = decide(copy, "--dry-run")
    assert not now["written"] and now["before"] == now["documents"]["kept"]
    assert road.outputs(copy / "corpus") == before
    found = decide(copy, "clean.gopher_quality.min_words=100")
    assert found["written"] and found["before"] == now["documents"]["kept"] > found["documents"]["kept"]
    after = road.outputs(copy / "corpus")
    assert {name.split("/")[1] for name in after if after[name] != before.get(name)} == {"verdicts"}
    done = road.millrace(copy, "data", "run", "data.yaml", "clean.gopher_quality.min_words=100", "--json")
    assert done.returncode == 0, done.stderr
    assert "filter: " in done.stderr and "0 to do" in done.stderr
    stages = {s["name"]: s for s in json.loads((copy / "corpus" / "manifest.json").read_text())["stages"]}
    assert stages["filter"]["documents"] == found["documents"]


def test_what_each_rule_refuses_is_counted_whether_it_is_on_or_off(copy: Path) -> None:
    found = {rule["reason"]: rule for rule in decide(copy, "--dry-run")["rules"]}
    few = found["gopher_words_few"]
    assert few["enabled"] and few["refused"] >= few["only"] > 0 and few["bounds"] == "min_words 50"
    assert not found["c4_sentences_few"]["enabled"]
    off = decide(copy, "--dry-run", "clean.gopher_quality.enabled=false")
    counts = {rule["reason"]: rule for rule in off["rules"]}
    assert counts["gopher_words_few"]["refused"] == few["refused"] and counts["gopher_words_few"]["only"] == 0
    assert off["documents"]["kept"] == off["documents"]["in"]
    printed = road.millrace(copy, "data", "decide", "data.yaml", "--dry-run").stdout
    assert "gopher_words_few" in printed and "(off)" in printed and "nothing was written" in printed


def test_settings_that_change_texts_are_refused_with_how_to_go_on(copy: Path) -> None:
    done = road.millrace(copy, "data", "decide", "data.yaml", "clean.lines.enabled=true")
    assert done.returncode == 1 and "have no documents measured under these settings" in done.stderr
    assert "millrace data run" in done.stderr


def test_a_run_may_end_with_clean_documents_as_parquet(copy: Path) -> None:
    done = road.millrace(copy, "data", "run", "data.yaml", "data.product=documents", "data.dir=clean", "--json")
    assert done.returncode == 0, done.stderr
    summary, manifest = json.loads(done.stdout), load_documents_manifest(copy / "clean")
    tables = [pq.read_table(copy / "clean" / entry.path) for entry in manifest.files]
    assert [table.num_rows for table in tables] == [entry.documents for entry in manifest.files]
    assert (
        sum(table.num_rows for table in tables) == summary["documents_kept"] == manifest.stages[-1]["documents"]["kept"]
    )
    shards = json.loads((copy / "corpus" / "manifest.json").read_text())
    assert summary["documents_kept"] == shards["stages"][-1]["documents"]["kept"]
    ids = [row for table in tables for row in table["id"].to_pylist()]
    assert len(set(ids)) == len(ids)
    page = (copy / "clean" / "report.html").read_text()
    assert manifest.corpus_id in page and "From raw text to documents" in page and "Samples kept" in page
    assert "gopher&nbsp;words&nbsp;few" in page
    again = road.millrace(copy, "data", "run", "data.yaml", "data.product=documents", "data.dir=clean")
    assert "0 to do" in again.stderr and load_documents_manifest(copy / "clean") == manifest
    # The same bytes for another number of workers.
    other = road.millrace(
        copy, "data", "run", "data.yaml", "data.product=documents", "data.dir=other", "data.workers=2"
    )
    assert other.returncode == 0 and load_documents_manifest(copy / "other") == manifest
    trained = road.millrace(copy, "train", "gpt-demo", "data.dir=clean", "--procs=1")
    assert trained.returncode == 2 and "the corpus ends with documents" in trained.stderr


@pytest.mark.parametrize("product", ["shards", "documents"])
def test_a_finished_corpus_is_published_once_with_its_manifest_last(copy: Path, product: str) -> None:
    more = (f"data.product={product}", f"data.dir={product}", "data.publish=out")
    done = road.millrace(copy, "data", "run", "data.yaml", *more, "--json")
    assert done.returncode == 0, done.stderr
    names = {str(p.relative_to(copy / "out")) for p in (copy / "out").rglob("*") if p.is_file() and p.suffix != ".xxh3"}
    assert all((copy / "out" / name).read_bytes() == (copy / product / name).read_bytes() for name in names)
    manifest = "manifest.json" if product == "shards" else "documents.json"
    assert manifest in names and json.loads(done.stdout)["published"] == f"out: {len(names)} files put"
    last = max((copy / "out").rglob("*.xxh3"), key=lambda path: path.stat().st_mtime_ns)
    assert last.name == f"{manifest}.xxh3"
    again = road.millrace(copy, "data", "run", "data.yaml", *more, "--json")
    assert json.loads(again.stdout)["published"] == f"out: 0 files put, {len(names)} were there"
    wrong = road.millrace(copy, "data", "run", "data.yaml", "data.publish=s3://me:secret@bucket/x")
    assert wrong.returncode == 2 and "secret" not in wrong.stderr and "data.publish" in wrong.stderr


def test_the_parts_of_an_array_write_the_same_documents(copy: Path) -> None:
    run = ("data", "run", "data.yaml", "data.product=documents")
    assert road.millrace(copy, *run, "data.dir=whole").returncode == 0
    for phase in (
        ["list"],
        ["documents", "0/2"],
        ["documents", "1/2"],
        ["decide"],
        ["shards", "0/2"],
        ["shards", "1/2"],
    ):
        more = ["--phase", phase[0], *(["--part", phase[1]] if phase[1:] else [])]
        done = road.millrace(copy, *run, "data.dir=parts", *more)
        assert done.returncode == 0, done.stderr
    done = road.millrace(copy, *run, "data.dir=parts")
    assert "parquet: " in done.stderr and "0 to do" in done.stderr
    assert load_documents_manifest(copy / "parts") == load_documents_manifest(copy / "whole")
