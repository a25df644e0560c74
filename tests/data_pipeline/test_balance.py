"""Caps leave the documents of smallest lot, exactly, and copies stand in the training split alone; nothing is lost on the
way, and nothing is done again that need not be."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.loader import load
from data_pipeline import caps
from data_pipeline import run as roads
from data_pipeline.columns import column
from data_pipeline.documents_manifest import load_documents_manifest
from data_pipeline.draw import copy_lots, lots
from data_pipeline.locate import locate
from data_pipeline.output import read_batches, read_summary
from data_pipeline.progress import Progress
from data_pipeline.shards import ShardReader, load_manifest
from data_pipeline.shards.manifest import write_manifest
from data_pipeline.verify import verify
from tests.data_pipeline import road

SEED = 3
DOMAINS = ["example.org"] * 6 + ["news.example.com"] * 3 + ["www.rare.co.uk", "10.0.0.1", ""]
PROSE = {
    "en": "the people of the town have been to the market and that is with them where they will be when it rains",
    "de": "die Leute aus der Stadt sind auf dem Markt gewesen und werden dort sein wenn es wieder regnet im Sommer",
    "fr": "les gens de la ville sont allés au marché et ils seront encore là quand il pleuvra de nouveau cet été",
}
CAPS = (
    "clean.balance.max_documents_per_domain=150",
    "clean.balance.max_language_bytes={en: 15kB, fr: 1GB}",
)
COPIES = ("clean.balance.upsample={de: 2}", "clean.balance.upsample_domains={rare.co.uk: 3}")


def write_raw(directory: Path, seed: int = 0) -> None:
    """Two sources of prose in three languages on five hosts and on none, some of it copied."""
    draw, texts = random.Random(seed), list[tuple[str, str]]()
    for name, count in (("web/a", 350), ("web/b", 250), ("books", 300)):
        path = directory / "raw" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            for i in range(count):
                if texts and draw.random() < 0.1:
                    text = draw.choice(texts)[0]
                else:
                    words = PROSE[draw.choice(["en", "en", "en", "de", "fr"])].split()
                    text = " ".join(draw.choices(words, k=draw.choice([60, 90]))) + "."
                    texts.append((text, name))
                host = draw.choice(DOMAINS)
                file.write(json.dumps({"text": text, "url": f"https://{host}/{i}" if host else ""}) + "\n")


CONFIG = road.CONFIG.replace("  - {name: code, type: jsonl, paths: [raw/code.jsonl]}\n", "").replace(
    "vocab_size: 500", "vocab_size: 330"
)


def run(directory: Path, *overrides: str) -> str:
    """Makes the corpus; returns what was said."""
    said = io.StringIO()
    with contextlib.chdir(directory):
        roads.run(load("data.yaml", overrides), Progress(said))
    return said.getvalue()


def refused(directory: Path, *overrides: str) -> str:
    with contextlib.chdir(directory), pytest.raises(UserError) as caught:
        roads.plan(load("data.yaml", overrides))
    return str(caught.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus without caps or copies."""
    directory = tmp_path_factory.mktemp("plain")
    write_raw(directory)
    road.write_config(directory, CONFIG)
    run(directory)
    return directory


@pytest.fixture(scope="module")
def balanced(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with both. Not to be changed."""
    directory = tmp_path_factory.mktemp("balanced") / "copy"
    shutil.copytree(plain, directory)
    run(directory, *CAPS, *COPIES)
    return directory


@pytest.fixture
def copy(balanced: Path, tmp_path: Path) -> Path:
    shutil.copytree(balanced, tmp_path / "copy")
    return tmp_path / "copy"


def documents(corpus: Path) -> list[dict]:
    """Every document that deduplication keeps: id, language, domain, bytes, copies, reason."""
    found = []
    for path in sorted((corpus / "work" / "balance").rglob("*.arrow")):
        place = path.relative_to(corpus / "work" / "balance")
        verdicts, signals, decisions = (corpus / "work" / n / place for n in ("verdicts", "signals", "decisions"))
        measured = [row for batch in read_batches(signals) for row in batch.to_pylist()]
        measured = [row for row, keep in zip(measured, column(verdicts, "keep"), strict=True) if keep]
        rows = [row for batch in read_batches(path) for row in batch.to_pylist()]
        stays = column(decisions, "keep")
        for row, more, keep in zip(measured, rows, stays, strict=True):
            if keep:
                found.append({key: row[key] for key in ("id", "language", "domain", "bytes")} | more)
            else:
                assert more == {"copies": 0, "reason": ""}
    return found


def lot(row: dict) -> int:
    return xxhash.xxh3_64_intdigest(row["id"] + b"balance", seed=SEED)


def capped(rows: list[dict], most: int, sizes: dict[str, int]) -> dict[bytes, str]:
    """The rule, said in the plainest way: the reason of each document, "" for those that stay."""
    reasons = {row["id"]: "" for row in rows}
    ordered = sorted(rows, key=lot)
    met: Counter[str] = Counter()
    for row in ordered:
        met[row["domain"]] += 1
        if row["domain"] and met[row["domain"]] > most:
            reasons[row["id"]] = "max_documents_per_domain"
    weight: Counter[str] = Counter()
    for row in ordered:
        if not reasons[row["id"]] and row["language"] in sizes:
            weight[row["language"]] += row["bytes"]
            if weight[row["language"]] > sizes[row["language"]]:
                reasons[row["id"]] = "max_language_bytes"
    return reasons


def test_caps_keep_the_documents_of_smallest_lot_exactly(balanced: Path) -> None:
    rows = documents(balanced / "corpus")
    expected = capped(rows, 150, {"en": 15_000, "fr": 10**9})
    assert {row["id"]: row["reason"] for row in rows} == expected
    assert {*expected.values()} == {"", "max_documents_per_domain", "max_language_bytes"}
    kept = Counter(row["domain"] for row in rows if row["copies"])
    assert kept["example.org"] <= 150 and 0 < kept["example.com"] <= 150
    assert {row["domain"] for row in rows} == {"example.org", "example.com", "rare.co.uk", "10.0.0.1", ""}
    assert 14_000 < sum(row["bytes"] for row in rows if row["copies"] and row["language"] == "en") <= 15_000


def test_documents_without_a_host_are_not_capped(copy: Path) -> None:
    run(copy, "clean.balance.max_documents_per_domain=1")
    rows = documents(copy / "corpus")
    kept = Counter(row["domain"] for row in rows if row["copies"])
    assert kept.pop("") == sum(not row["domain"] for row in rows) > 10
    assert {*kept.values()} == {1}


@pytest.mark.parametrize("overrides", [["data.workers=2"], ["data.unit_bytes=8kB"]])
def test_neither_workers_nor_units_change_what_stays(balanced: Path, tmp_path: Path, overrides: list[str]) -> None:
    run(balanced, *CAPS, *COPIES, f"data.dir={tmp_path}/other", *overrides)
    by_id = {row["id"]: row for row in documents(balanced / "corpus")}
    assert {row["id"]: row for row in documents(tmp_path / "other")} == by_id
    if overrides == ["data.workers=2"]:
        assert road.content(tmp_path / "other") == road.content(balanced / "corpus")


def shards(corpus: Path) -> dict[str, list[bytes]]:
    """Ids in each split, copies and all."""
    found: dict[str, list[bytes]] = {}
    for split, entries in load_manifest(corpus).splits.items():
        readers = [ShardReader(corpus / entry.path) for entry in entries]
        found[split] = [reader.doc_id(i) for reader in readers for i in range(reader.documents)]
    return found


def test_copies_stand_in_the_training_split_alone(balanced: Path) -> None:
    rows = {row["id"]: row for row in documents(balanced / "corpus")}
    found = {split: Counter(ids) for split, ids in shards(balanced / "corpus").items()}
    for split, counts in found.items():
        for doc_id, number in counts.items():
            factor = (2 if rows[doc_id]["language"] == "de" else 1) * (
                3 if rows[doc_id]["domain"] == "rare.co.uk" else 1
            )
            assert rows[doc_id]["copies"] == factor
            assert number == (factor if split == "train" else 1)
    assert {*found["train"].values()} == {1, 2, 3, 6}
    for split in ("validation", "test"):
        assert any(rows[doc_id]["copies"] > 1 for doc_id in found[split])
    everywhere = [doc_id for counts in found.values() for doc_id in counts]
    assert len(everywhere) == len({*everywhere}) == sum(row["copies"] > 0 for row in rows.values())


def test_copies_are_spread_over_their_shard(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "copy")
    run(tmp_path / "copy", "clean.balance.upsample_domains={example.org: 4}", "shards.target_bytes=10MB")
    entry = next(e for e in load_manifest(tmp_path / "copy/corpus").splits["train"] if e.source == "web")
    reader = ShardReader(tmp_path / "copy/corpus" / entry.path)
    ids = [reader.doc_id(i) for i in range(reader.documents)]
    again = [a for a, b in pairwise(ids) if a == b]
    assert len(ids) - len({*ids}) > 300 and len(again) < len(ids) / 50
    expected = sorted(
        int(copy_lots(lots(SEED, [doc_id]), number)[0])
        for doc_id, many in Counter(ids).items()
        for number in range(many)
    )
    mine: Counter[bytes] = Counter()
    order = []
    for doc_id in ids:  # the lots of a document's copies, each somewhere, in ascending order through the shard
        every = sorted(int(copy_lots(lots(SEED, [doc_id]), n)[0]) for n in range(ids.count(doc_id)))
        order.append(every[mine[doc_id]])
        mine[doc_id] += 1
    assert order == expected


def test_lots_of_copies_have_golden_values() -> None:
    assert copy_lots(np.array([7], np.uint64), 0).tolist() == [7]
    assert copy_lots(np.array([7], np.uint64), 1).tolist() == [xxhash.xxh3_64_intdigest(b"\7\0\0\0\0\0\0\0", seed=1)]


def test_every_document_and_copy_is_accounted_for(balanced: Path) -> None:
    manifest = load_manifest(balanced / "corpus")
    stages = {stage["name"]: stage for stage in manifest.stages}
    assert [*stages] == ["extract", "clean", "filter", "dedup", "balance", "shards"]
    rows = documents(balanced / "corpus")
    mine = stages["balance"]
    for what, weight in (("documents", lambda row: 1), ("bytes", lambda row: row["bytes"])):
        assert mine[what]["in"] == stages["dedup"][what]["kept"] == sum(map(weight, rows))
        assert mine[what]["kept"] == sum(weight(row) for row in rows if row["copies"])
        assert mine[what]["rejected"] == {
            reason: sum(weight(row) for row in rows if row["reason"] == reason)
            for reason in ("max_documents_per_domain", "max_language_bytes")
        }
        assert stages["shards"][what]["in"] == mine[what]["kept"] + mine["copies"][what]
        assert mine["copies"][what] == sum(source["copies"][what] for source in mine["sources"].values()) > 0
    assert stages["shards"]["documents"]["kept"] == sum(map(len, shards(balanced / "corpus").values()))
    assert verify(balanced / "corpus", Progress(quiet=True)).problems == []


def test_copies_that_are_too_long_are_rejected_one_by_one(copy: Path) -> None:
    run(copy, *CAPS, *COPIES, "shards.max_document_tokens=150")
    stage = load_manifest(copy / "corpus").stages[-1]
    assert stage["documents"]["rejected"]["max_document_tokens"] > 0 < stage["documents"]["kept"]
    assert verify(copy / "corpus", Progress(quiet=True)).problems == []


def test_a_manifest_that_hides_copies_is_found(copy: Path) -> None:
    manifest = load_manifest(copy / "corpus")
    stages = [{key: value for key, value in stage.items() if key != "copies"} for stage in manifest.stages]
    write_manifest(copy / "corpus", replace(manifest, stages=stages))
    problems = [str(problem) for problem in verify(copy / "corpus", Progress(quiet=True)).problems]
    assert any("stage balance handed on" in problem for problem in problems)


def test_without_caps_or_copies_the_stage_is_not_in_the_account(plain: Path) -> None:
    assert "balance" not in [stage["name"] for stage in load_manifest(plain / "corpus").stages]
    rows = documents(plain / "corpus")
    assert {row["copies"] for row in rows} == {1} and {row["reason"] for row in rows} == {""}


def test_every_token_of_a_copy_leads_to_its_document(balanced: Path) -> None:
    corpus = balanced / "corpus"
    entry = load_manifest(corpus).splits["train"][0]
    reader = ShardReader(corpus / entry.path)
    ids = [reader.doc_id(i) for i in range(reader.documents)]
    many = next(doc_id for doc_id, number in Counter(ids).items() if number > 1)
    for place in (i for i, doc_id in enumerate(ids) if doc_id == many):
        found = locate(corpus, f"{entry.path}:{int(reader.offsets[place])}")
        assert (found.document_id, found.document_in_shard) == (many.hex(), place)


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    names = {name for name, inode in after.items() if before.get(name) != inode}
    return {"/".join(name.split("/")[:2]) if name.startswith("work") else name.split("/")[0] for name in names}


def test_a_changed_cap_redoes_what_depends_on_it_and_nothing_else(copy: Path) -> None:
    before = road.outputs(copy / "corpus")
    assert "balance: " in run(copy, *CAPS, *COPIES) and road.outputs(copy / "corpus") == before
    run(copy, "clean.balance.max_documents_per_domain=120", CAPS[1], *COPIES)
    now = road.outputs(copy / "corpus")
    assert changed(before, now) == {"work/balance", "work/lots", "tokenizer", "shards"}
    # A cap that nothing exceeds, and copies of what is not there, leave everything behind the stage as it is.
    said = run(
        copy, "clean.balance.max_documents_per_domain=120", CAPS[1], "clean.balance.upsample={de: 2, eo: 2}", COPIES[1]
    )
    assert changed(now, road.outputs(copy / "corpus")) == {"work/balance"}
    assert "warning: clean.balance.upsample: no document came this far of 'eo'" in said


def test_a_new_file_of_another_domain_leaves_old_decisions_as_they_are(copy: Path) -> None:
    paths = [*(copy / "corpus" / "work" / "balance").rglob("*.arrow")]
    before = {path: read_summary(path)["content"] for path in paths}
    files = road.outputs(copy / "corpus")
    text = " ".join(random.Random(1).choices(PROSE["fr"].split(), k=90))
    with (copy / "raw/web/c.jsonl").open("w") as file:
        for i in range(40):
            file.write(json.dumps({"text": f"{text} {i}.", "url": f"https://new.example.net/{i}"}) + "\n")
    run(copy, *CAPS, *COPIES)
    assert {path: read_summary(path)["content"] for path in paths} == before
    after = road.outputs(copy / "corpus")
    assert all(after[name] == files[name] for name in files if name.startswith("work/lots"))


def test_documents_as_parquet_are_capped_and_never_copied(balanced: Path, tmp_path: Path) -> None:
    run(balanced, *CAPS, "data.product=documents", f"data.dir={tmp_path}/clean")
    manifest = load_documents_manifest(tmp_path / "clean")
    ids = [i for e in manifest.files for i in pq.read_table(tmp_path / "clean" / e.path)["id"].to_pylist()]
    assert sorted(ids) == sorted(row["id"] for row in documents(balanced / "corpus") if row["copies"])
    assert manifest.stages[-1]["name"] == "balance" and manifest.stages[-1]["documents"]["kept"] == len(ids)
    said = refused(balanced, *COPIES, "data.product=documents", "data.dir=x")
    assert "holds each document once" in said and "data.product=shards" in said


def test_names_that_can_match_nothing_are_refused_with_those_that_can(balanced: Path) -> None:
    said = refused(
        balanced,
        "clean.balance.upsample={deu: 2}",
        "clean.balance.max_language_bytes={xq: 1MB}",
        "clean.balance.upsample_domains={'https://www.Wikipedia.org/wiki': 2, rare.co.uk: 2}",
    )
    assert said.count("error:") == 3 and "'xq'" in said
    assert "such as de" in said and "write wikipedia.org" in said


@pytest.mark.parametrize("bad", ["upsample={de: 0}", "upsample={de: 101}", "max_language_bytes={en: 0}"])
def test_numbers_out_of_range_are_refused(balanced: Path, bad: str) -> None:
    assert f"clean.balance.{bad.split('=')[0]}" in refused(balanced, f"clean.balance.{bad}")


def test_the_report_shows_who_is_kept(balanced: Path) -> None:
    page = (balanced / "corpus" / "report.html").read_text()
    text = re.sub("<[^>]+>", "\n", page)
    rows = documents(balanced / "corpus")
    for domain in ("example.org", "example.com", "rare.co.uk"):
        kept = sum(row["copies"] > 0 for row in rows if row["domain"] == domain)
        assert re.search(rf"\n{re.escape(domain)}\n+[\d,]+\n+[\d,]+\n+{kept}\n", text), domain
    assert "copies added" in text and "below half" in text and "no host" in text
    assert "balance: max documents per domain" in text and "others of smaller lot fill the cap" in text


# The rule by itself.
Groups = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(1, 9)), max_size=40)


@settings(max_examples=300)
@given(Groups, st.dictionaries(st.sampled_from("abc"), st.integers(1, 30)), st.integers(1, 50), st.randoms())
def test_bars_do_not_depend_on_order_parts_or_what_is_thrown_away(
    rows: list[tuple[str, int, int]], limits: dict[str, int], cut: int, draw: random.Random
) -> None:
    def bars(rows: list[tuple[str, int, int]], size: int) -> dict[str, int]:
        def parts():
            for start in range(0, len(rows), size):
                some = rows[start : start + size]
                names = sorted({row[0] for row in some})
                lots = np.array([row[1] for row in some], np.uint64)
                codes = np.array([names.index(row[0]) for row in some], np.int32)
                yield caps.Part(
                    codes, names, np.array([row[2] for row in some], np.int64), lambda at, all=lots: all[at]
                )

        return caps.find_bars(parts, limits.get).by_name

    expected = {}
    for name, most in limits.items():
        weight = 0
        for lot_, size in sorted((row[1], row[2]) for row in rows if row[0] == name):
            weight += size
            if weight > most:
                expected[name] = lot_
                break
    assert bars(rows, 1000) == expected
    shuffled = draw.sample(rows, len(rows))
    before, caps.ROWS_AT_ONCE = caps.ROWS_AT_ONCE, 0
    try:
        assert bars(shuffled, cut) == expected
    finally:
        caps.ROWS_AT_ONCE = before
