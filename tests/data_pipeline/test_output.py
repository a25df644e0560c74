"""Outputs exist whole or not at all, whatever happens to the process that writes them."""

import os
import random
import socket
import subprocess
import sys
import time

import pyarrow as pa
import pytest

from configs.errors import MachineError
from data_pipeline import output
from data_pipeline.output import (
    ArrowOutput,
    fingerprint,
    read_batches,
    read_fingerprint,
    read_summary,
    remove_leftovers,
    write_arrow,
    write_bytes,
    write_json,
)

SCHEMA = pa.schema([pa.field("n", pa.int64()), pa.field("text", pa.large_string())])


def batch(start, count):
    values = range(start, start + count)
    return pa.RecordBatch.from_pydict({"n": list(values), "text": [f"text {n}" for n in values]}, schema=SCHEMA)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_an_output_gives_back_rows_fingerprint_and_summary(tmp_path):
    path = tmp_path / "deep" / "er" / "0.arrow"
    written = write_arrow(path, SCHEMA, [batch(0, 3), batch(3, 0), batch(3, 2)], "f" * 32, lambda: {"kept": 5})
    assert read_fingerprint(path) == "f" * 32
    assert read_summary(path) == written
    assert written["kept"] == written["rows"] == 5
    assert [n for b in read_batches(path) for n in b.column("n").to_pylist()] == [0, 1, 2, 3, 4]
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_summary_is_asked_after_the_last_row(tmp_path):
    seen = []

    def batches():
        for n in range(3):
            seen.append(n)
            yield batch(n, 1)

    assert write_arrow(tmp_path / "a", SCHEMA, batches(), "f", lambda: {"seen": len(seen)})["seen"] == 3


def test_the_content_depends_on_the_rows_alone(tmp_path):
    one = write_arrow(tmp_path / "a", SCHEMA, [batch(0, 4)], "f", dict)
    two = write_arrow(tmp_path / "b", SCHEMA, [batch(0, 1), batch(1, 3)], "g", lambda: {"more": 1})
    other = write_arrow(tmp_path / "c", SCHEMA, [batch(0, 5)], "f", dict)
    assert one["content"] == two["content"] != other["content"]


def test_an_output_without_rows_is_an_output(tmp_path):
    assert write_arrow(tmp_path / "a", SCHEMA, [], "f", dict)["rows"] == 0
    assert read_fingerprint(tmp_path / "a") == "f"
    assert list(read_batches(tmp_path / "a")) == []


def test_fingerprints_know_values_and_not_the_order_of_keys():
    assert fingerprint(a=1, b={"x": [1, 2], "y": "z"}) == fingerprint(b={"y": "z", "x": [1, 2]}, a=1)
    assert len({fingerprint(a=1), fingerprint(a=2), fingerprint(a="1"), fingerprint(b=1), fingerprint(a=[1])}) == 5


def test_every_cut_of_an_output_is_recognised(tmp_path):
    path = tmp_path / "whole"
    write_arrow(path, SCHEMA, [batch(0, 50), batch(50, 50)], "f", lambda: {"a": 1})
    data = path.read_bytes()
    cut = tmp_path / "cut"
    end_of_summary = data.rindex(b"millrace.summary")
    for size in {0, 1, 7, 100, *range(200, end_of_summary, 97)}:
        cut.write_bytes(data[:size])
        assert read_fingerprint(cut) is None, size
    with pytest.raises(MachineError, match="cut"):
        read_summary(cut)
    assert read_fingerprint(tmp_path / "absent") is None
    cut.write_bytes(random.Random(1).randbytes(5000))
    assert read_fingerprint(cut) is None


def test_a_failed_attempt_leaves_the_former_output(tmp_path):
    path = tmp_path / "a"
    write_arrow(path, SCHEMA, [batch(0, 1)], "old", dict)

    def broken():
        yield batch(0, 1)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_arrow(path, SCHEMA, broken(), "new", dict)
    assert read_fingerprint(path) == "old"
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    # The real error of a real full device, met where the output is flushed.
    with ArrowOutput(tmp_path / "a", SCHEMA, "f") as attempt:
        full = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115
        monkeypatch.setattr(output.os, "fsync", lambda descriptor: full.write(b"x"))
        attempt.write(batch(0, 1))
        with pytest.raises(MachineError, match="No space left on device") as caught:
            attempt.commit({})
    assert "same command again" in str(caught.value)
    assert names(tmp_path) == []


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import orjson, pyarrow as pa
from data_pipeline.output import read_batches, read_fingerprint, read_summary, remove_leftovers, write_arrow, write_json

schema = pa.schema([pa.field("n", pa.int64())])
out, rng, partial = Path(sys.argv[1]), random.Random(7), 0

def write(attempt):
    batches = (pa.RecordBatch.from_pydict({"n": [attempt] * 1000}, schema=schema) for _ in range(20))
    write_arrow(out / "a.arrow", schema, batches, f"{attempt}", lambda: {"attempt": attempt})
    write_json(out / "a.json", [attempt] * 2000)

write(0)
for kill in range(1, 25):
    process = os.fork()
    if not process:
        for attempt in range(kill * 1_000_000, (kill + 1) * 1_000_000):
            write(attempt)
    time.sleep(rng.random() * 0.1)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    partial += sum(path.name.endswith(".partial") for path in out.iterdir())
    attempt = int(read_fingerprint(out / "a.arrow"))
    assert read_summary(out / "a.arrow")["attempt"] == attempt
    values = [n for batch in read_batches(out / "a.arrow") for n in batch.column("n").to_pylist()]
    assert values == [attempt] * 20_000
    assert len(set(orjson.loads((out / "a.json").read_bytes()))) == 1
    remove_leftovers(out)
    assert sorted(path.name for path in out.iterdir()) == ["a.arrow", "a.json"]
assert attempt and partial, "no kill met a file half-written: nothing was shown"
"""


def test_kill_9_at_any_moment_leaves_each_output_whole(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLER, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    def attempt(host, process):
        path = tmp_path / "work" / f".a.arrow.{host}.{process}.0a1b2c.partial"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        return path

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    gone, mine, elsewhere = attempt(host, dead.pid), attempt(host, os.getpid()), attempt("other.host", 1)
    stale = attempt("third.host", 1)
    os.utime(stale, (time.time() - 90_000,) * 2)
    other = tmp_path / "work" / ".not-ours.partial"
    other.write_bytes(b"")
    assert remove_leftovers(tmp_path) == 2
    assert not gone.exists() and not stale.exists()
    assert mine.exists() and elsewhere.exists() and other.exists()


def test_equal_values_give_equal_json_files(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": [1.5, "é"]})
    write_json(tmp_path / "b", {"a": [1.5, "é"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_folder_that_cannot_be_written_is_told_without_a_traceback(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError, match="cannot write"):
        write_bytes(tmp_path / "file" / "a", b"x")


def test_a_reader_keeps_what_it_maps_while_the_file_is_replaced(tmp_path):
    write_arrow(tmp_path / "a", SCHEMA, [batch(0, 10), batch(10, 10)], "old", dict)
    reader = read_batches(tmp_path / "a")
    first = next(reader)
    write_arrow(tmp_path / "a", SCHEMA, [batch(90, 10)], "new", dict)
    assert first.column("n").to_pylist() + next(reader).column("n").to_pylist() == list(range(20))
