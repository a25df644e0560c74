"""The road as its user walks it: same bytes for any number of workers and after any kill, and nothing done twice."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from data_pipeline.documents import document_id
from data_pipeline.progress import Progress
from data_pipeline.shards import ShardReader, load_manifest
from data_pipeline.tokenize.codec import Codec
from data_pipeline.verify import verify
from tests.data_pipeline import road


def run(directory: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    done = road.millrace(directory, "data", "run", "data.yaml", *overrides)
    assert done.returncode == 0, done.stderr
    return done


def test_two_workers_write_the_bytes_of_one_wherever_the_files_lie(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "raw", tmp_path / "elsewhere" / "raw")
    road.write_config(tmp_path / "elsewhere")
    run(tmp_path / "elsewhere", "data.workers=2", f"data.dir={tmp_path}/there")
    assert road.content(tmp_path / "there") == road.content(made / "corpus")


def test_killed_at_any_moment_the_same_command_ends_in_the_same_bytes(made: Path, tmp_path: Path) -> None:
    corpus, draw = tmp_path / "killed", random.Random(time.time_ns())
    whole = len(road.outputs(made / "corpus"))
    command = road.command("data", "run", "data.yaml", f"data.dir={corpus}", "data.workers=2")
    marks = sorted(draw.sample(range(1, whole), 3))
    for mark in marks:
        before = road.outputs(corpus) if corpus.exists() else {}
        process = subprocess.Popen(command, cwd=made, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and len(road.outputs(corpus)) < mark:
            time.sleep(0.02)
        time.sleep(draw.random() * 0.05)
        process.kill()
        _, said = process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), said
        after = road.outputs(corpus)
        assert {name: after.get(name) for name in before} == before, f"made again, killed at {marks}"
        if (corpus / "manifest.json").exists():  # written last: the kill fell between it and the end of the process
            assert after.keys() == road.outputs(made / "corpus").keys()
            assert load_manifest(corpus) == load_manifest(made / "corpus")
    before = road.outputs(corpus)
    said = run(made, f"data.dir={corpus}", "data.workers=2").stderr
    assert "finished already" in said
    assert road.content(corpus) == road.content(made / "corpus"), f"killed at {marks}"
    after = road.outputs(corpus)
    assert {name: after[name] for name in before} == before, f"made again, killed at {marks}"
    if list(corpus.rglob("*.partial")):  # of a killed worker that was still dying, deep in a call of the disk
        run(made, f"data.dir={corpus}", "data.workers=2")
    assert not list(corpus.rglob("*.partial")) and not list(corpus.rglob(".spill-*"))


def test_a_second_run_makes_nothing_and_says_so(copy: Path) -> None:
    before, inode = road.outputs(copy / "corpus"), (copy / "corpus" / "manifest.json").stat().st_ino
    done = run(copy, "--json")
    said, summary, manifest = done.stderr, json.loads(done.stdout), load_manifest(copy / "corpus")
    assert summary["corpus_id"] == manifest.corpus_id and Path(copy / summary["report"]).is_file()
    assert summary["tokens"] == {split: manifest.tokens(split) for split in manifest.splits}
    assert road.outputs(copy / "corpus") == before
    assert (copy / "corpus" / "manifest.json").stat().st_ino == inode
    for phase in ("documents", "signatures", "dedup", "balance", "lots", "shards"):
        assert f"{phase}: " in said and "0 to do" in said
    assert "tokenizer: finished already" in said


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Kinds of outputs that were made again or are new."""
    names = {name for name, inode in after.items() if before.get(name) != inode}
    return {"/".join(name.split("/")[:2]) if name.startswith("work") else name.split("/")[0] for name in names}


FROM_BALANCE = ("work/balance", "work/lots", "tokenizer", "shards")
FROM_SIGNATURES = ("work/signatures", "work/decisions", *FROM_BALANCE)


@pytest.mark.parametrize(
    ("override", "redone"),
    [
        ("clean.gopher_quality.min_words=150", {"work/verdicts", *FROM_SIGNATURES}),
        ("clean.languages=[la, en, eo]", {"work/verdicts", *FROM_SIGNATURES}),
        ("shards.target_bytes=32kB", {"shards"}),
        ("tokenizer.vocab_size=520", {"tokenizer", "shards"}),
        ("split.validation=0.2", {"work/lots", "tokenizer", "shards"}),
        ("dedup.exact=false", {"work/decisions", *FROM_BALANCE}),
        ("clean.balance.max_documents_per_domain=100", {*FROM_BALANCE}),
        ("clean.balance.upsample_domains={example.org: 2}", {"work/balance", "work/lots", "shards"}),
    ],
)
def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(
    copy: Path, override: str, redone: set[str]
) -> None:
    before = road.outputs(copy / "corpus")
    done = run(copy, override)
    assert changed(before, road.outputs(copy / "corpus")) == redone
    assert not verify(copy / "corpus", Progress(quiet=True)).problems  # what it no longer needs is gone, too
    assert ("warning: dedup is turned off" in done.stderr) == (override == "dedup.exact=false")


def test_a_setting_that_decides_no_content_redoes_nothing(copy: Path) -> None:
    before, manifest = road.outputs(copy / "corpus"), (copy / "corpus" / "manifest.json").read_bytes()
    run(copy, "data.workers=2", "data.prefetch=7")
    assert road.outputs(copy / "corpus") == before
    assert (copy / "corpus" / "manifest.json").read_bytes() == manifest


@pytest.mark.parametrize("name", ["web/c", "web/0"])  # behind and before those that are there
def test_one_new_file_redoes_little(copy: Path, name: str) -> None:
    corpus = copy / "corpus"
    shutil.copy(corpus / "tokenizer" / "tokenizer.model", copy / "fixed.model")
    run(copy, "tokenizer.model=fixed.model")
    before = road.outputs(corpus)
    road.write_raw(copy, {name: 60_000}, seed=9)
    run(copy, "tokenizer.model=fixed.model")
    after = road.outputs(corpus)
    redone = {name for name, inode in after.items() if before.get(name) != inode}
    new = {name for name in after if name not in before}
    for phase in ("documents", "signals", "verdicts", "signatures"):
        mine = {path for path in redone if path.startswith(f"work/{phase}/")}
        assert mine and mine <= new
    # Decision files are written anew, but those of old units say the same, so nothing after them is.
    assert {name for name in redone if name.startswith("work/lots")} <= new
    shards = {name for name in redone if name.startswith("shards/")}
    if name == "web/0":
        assert all("/web-" in shard for shard in shards)
        return
    last = {max(n for n in after if n.startswith(f"shards/{split}/web-")) for split in ("train", "validation", "test")}
    assert shards and shards <= last | new


def test_every_document_is_accounted_for(made: Path) -> None:
    manifest = load_manifest(made / "corpus")
    lines = {
        source: sum(len(path.read_text().splitlines()) for path in (made / "raw").glob(pattern))
        for source, pattern in (("web", "web/*"), ("books", "books.jsonl"), ("code", "code.jsonl"))
    }
    assert {name: entry["records"] for name, entry in manifest.inputs.items()} == lines
    assert [stage["name"] for stage in manifest.stages] == ["extract", "clean", "filter", "dedup", "shards"]
    into = sum(lines.values())
    for stage in manifest.stages:
        count = stage["documents"]
        assert count["in"] == into == count["kept"] + sum(count["rejected"].values())
        for what in ("in", "kept"):
            assert count[what] == sum(source["documents"][what] for source in stage["sources"].values())
        into = count["kept"]
    by_name = {stage["name"]: stage["documents"]["rejected"] for stage in manifest.stages}
    assert by_name["dedup"]["exact_duplicate"] > 10 and by_name["filter"]
    assert into == sum(entry.documents for shards in manifest.splits.values() for entry in shards)


def test_each_document_is_in_one_shard_with_its_text_id_and_url(made: Path) -> None:
    corpus = made / "corpus"
    manifest, seen = load_manifest(corpus), set()
    codec = Codec.load(corpus / manifest.tokenizer_path)
    texts = {}
    for source, name in (("web", "web/a"), ("web", "web/b"), ("books", "books"), ("code", "code")):
        offset = 0
        for line in (made / "raw" / f"{name}.jsonl").read_bytes().splitlines(keepends=True):
            row = json.loads(line)
            texts[document_id(source, f"{Path(name).name}.jsonl", offset)] = (source, row["text"], row["url"])
            offset += len(line)
    for shards in manifest.splits.values():
        for entry in shards:
            reader = ShardReader(corpus / entry.path)
            for i in range(reader.documents):
                source, text, url = texts[reader.doc_id(i)]
                assert (source, url) == (reader.source, reader.url(i)) and reader.doc_id(i) not in seen
                assert codec.decode(reader.document(i)) == text
                seen.add(reader.doc_id(i))
    assert len(seen) > 300


def test_documents_too_long_are_rejected_and_the_others_kept(copy: Path) -> None:
    before = road.outputs(copy / "corpus")
    run(copy, "shards.max_document_tokens=900")
    assert changed(before, road.outputs(copy / "corpus")) == {"shards"}
    manifest = load_manifest(copy / "corpus")
    assert manifest.stages[-1]["documents"]["rejected"]["max_document_tokens"] > 0
    readers = [ShardReader(copy / "corpus" / entry.path) for shards in manifest.splits.values() for entry in shards]
    lengths = [len(reader.document(i)) for reader in readers for i in range(reader.documents)]
    assert 500 < max(lengths) <= 901


def test_a_dedup_that_removes_nothing_is_said_aloud(tmp_path: Path) -> None:
    road.write_config(tmp_path)
    road.write_raw(tmp_path, {"web/a": 60_000, "books": 30_000, "code": 30_000})
    seen: set[str] = set()
    for path in sorted((tmp_path / "raw").rglob("*.jsonl")):
        rows = {" ".join(json.loads(line)["text"].split()): line for line in path.read_text().splitlines()}
        path.write_text("".join(f"{line}\n" for text, line in rows.items() if text not in seen))
        seen |= rows.keys()
    assert "warning: dedup removed 0 of" in run(tmp_path, "tokenizer.vocab_size=400").stderr


def test_shards_of_two_settings_never_lie_under_one_manifest(copy: Path) -> None:
    """Not even after a kill between them."""
    before = road.outputs(copy / "corpus")
    command = road.command("data", "run", "data.yaml", "shards.target_bytes=16kB")
    process = subprocess.Popen(command, cwd=copy, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(road.outputs(copy / "corpus").get(n) != before[n] for n in before):
        time.sleep(0.001)
    process.kill()
    process.wait()
    if (copy / "corpus" / "manifest.json").exists():  # it was quicker than the kill
        assert not verify(copy / "corpus", Progress(quiet=True)).problems
    run(copy, "shards.target_bytes=16kB")
    assert not verify(copy / "corpus", Progress(quiet=True)).problems


def test_a_vocabulary_beyond_the_text_is_refused_with_what_works(copy: Path) -> None:
    done = road.millrace(copy, "data", "run", "data.yaml", "tokenizer.vocab_size=60000")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "command line: tokenizer.vocab_size=60000" in done.stderr
    assert "the largest that works is tokenizer.vocab_size=" in done.stderr
    assert (copy / "corpus" / "manifest.json").exists()  # the corpus that was there is still whole


def test_a_second_run_at_the_same_time_is_told_to_wait(copy: Path) -> None:
    with (copy / "corpus" / "work" / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = road.millrace(copy, "data", "run", "data.yaml")
    assert done.returncode == 75 and "another" in done.stderr


def test_a_dry_run_writes_nothing(made: Path, tmp_path: Path) -> None:
    done = road.millrace(made, "data", "run", "data.yaml", f"data.dir={tmp_path}/dry", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert done.returncode == 0 and not (tmp_path / "dry").exists()
    assert plan["sources"]["books"]["units"] == len(list((made / "corpus/work/documents/books").rglob("*.arrow")))


def test_the_corpus_is_its_owners_alone(made: Path) -> None:
    directories = [made / "corpus", *(p for p in (made / "corpus").rglob("*") if p.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in directories} == {0o700}
    # The directory may have been there before, open to others: texts and their samples are not.
    texts = [made / "corpus" / "report.html", *(made / "corpus" / "work").rglob("*.arrow")]
    assert {path.stat().st_mode & 0o777 for path in texts} == {0o600}


def test_mistakes_of_a_configuration_come_all_at_once(copy: Path) -> None:
    done = road.millrace(
        copy, "data", "run", "data.yaml", "tokenizer.model=raw/books.jsonl", "sources.1.paths=[raw/boks.jsonl]",
        "split.test=0.7", "split.validation=0.5",
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "not a SentencePiece model: raw/books.jsonl" in done.stderr and "boks.jsonl" in done.stderr
    assert "nothing is left to train on" in done.stderr and done.stderr.count("error:") == 3


def test_a_corpus_of_which_nothing_is_kept_says_so(tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text('{"text": "too short"}\n')
    (tmp_path / "data.yaml").write_text(
        "sources: [{name: few, type: jsonl, paths: [few.jsonl]}]\ndata: {dir: corpus}\n"
    )
    done = road.millrace(tmp_path, "data", "run", "data.yaml")
    assert done.returncode == 2 and "there is no text to train a tokenizer on" in done.stderr
