"""Spoilt files that were found once: each is read as it was judged right then, and every promise holds."""

import gzip
import json
import random
import sys

import pytest

from configs.schema.source import Source
from tests.data_pipeline import fuzz
from tests.data_pipeline.raw import http, lines, page, read, record, unit

EXPECTED = json.loads((fuzz.FINDS / "expected.json").read_text())


def outcome(path):
    """Records, documents, and what was skipped and damaged, by kind."""
    kind = "jsonl" if ".json" in path.name else "warc"
    found, tally = read(Source(name="s", type=kind, paths=["x"]), unit(path))
    damaged = {name: damage.count for name, damage in sorted(tally.damaged.items())}
    return [tally.records, len(found), dict(sorted(tally.skipped.items())), damaged]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_finds_are_read_as_judged(name):
    path = fuzz.FINDS / name
    assert path.stat().st_size <= 2000
    assert outcome(path) == EXPECTED[name]
    fuzz.assert_promises(path)


def test_every_find_is_judged():
    assert {path.name for path in fuzz.FINDS.iterdir()} == {*EXPECTED, "expected.json"}


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_files_keep_every_promise(tmp_path, seed):
    for number in range(60):
        name, data = fuzz.spoilt(random.Random(f"test {seed}/{number}"))
        path = tmp_path / name
        path.write_bytes(data)
        fuzz.assert_promises(path)


def lies(count):
    """Records whose lengths all reach far beyond what follows them, to places where no record begins."""
    body = http(b"x" * 300, "Content-Type: text/html")
    return b"".join(record("request", body, length=len(body) * (count - n) // 2 + 7) for n in range(count))


HOSTILE = {
    "lies.warc": lies,
    "lies.warc.gz": lambda n: gzip.compress(lies(n)),
    "false beginnings.warc.gz": lambda n: gzip.compress(page("x")) + b"\x1f\x8b\x08\x00" * 100 * n,
    "version lines.warc": lambda n: b"rubbish\n" + b"WARC/1.0\n" * 100 * n,
    "continued fields.warc": lambda n: page("x") + b"WARC/1.0\r\nA: b\r\n" + b" c\r\n" * 100 * n,
    "blank lines.warc": lambda n: page("x") + b"\r\n" * 100 * n,
    "chunks.warc": lambda n: record(
        "response", http(b"1\r\nx\r\n" * 50 * n, "Content-Type: text/html", "Transfer-Encoding: chunked")
    ),
    "brackets.json": lambda n: b'[{"a":' + b"[{" * 50 * n,
    "quotes.json": lambda n: b'[{"a": ' + b'"\\"' * 50 * n,
    "words.json": lambda n: b'[{"text": "a"}' + b",1" * 50 * n,
    "lines.jsonl": lambda n: b"{\n" * 50 * n + lines("end"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_ten_times_the_input_is_ten_times_the_work(tmp_path, name):
    def operations(scale):
        path = tmp_path / f"{scale} {name}"
        path.write_bytes(HOSTILE[name](scale))
        calls = 0

        def count(frame, event, argument):
            nonlocal calls
            calls += 1

        sys.setprofile(count)
        try:
            fuzz.assert_promises(path, unit_bytes=path.stat().st_size // 4 + 1)
        finally:
            sys.setprofile(None)
        return calls

    operations(1)  # imports
    small, large = operations(20), operations(200)
    assert large <= 13 * small
