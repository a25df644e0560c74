"""`millrace bench data` measures each step on the text it is given and says what it measured on."""

import json
import os
import sys
import time

import pytest

from benchmarks.data import rows
from benchmarks.data.inputs import Inputs
from benchmarks.data.measure import cpu_seconds, repeat
from benchmarks.data.processes import Watch
from benchmarks.peers.environment import environment
from configs.errors import UserError

PARAGRAPH = "The miller opened the gate, and the water that the race had brought down from the hills turned the wheel. "
FIELDS = ["name", "value", "unit", "cpu_seconds", "peer", "peer_value", "ratio"]


@pytest.fixture
def small(tmp_path):
    """A folder of corpora with two pages and a text."""
    folder = tmp_path / "corpora"
    for part in ("html/pages", "text/mill"):
        (folder / part).mkdir(parents=True)
    for number in range(2):
        body = "".join(f"<p>{PARAGRAPH * 5} Page {number}, paragraph {k}.</p>" for k in range(20))
        (folder / "html" / "pages" / f"{number}.html").write_text(f"<html><body><main>{body}</main></body></html>")
    (folder / "text" / "mill" / "mill.txt").write_text("\n\n".join(f"{PARAGRAPH * 10} {k}." for k in range(30)))
    return folder


def test_the_rows_are_those_of_the_bars():
    assert [(row.name, row.bar, row.times_peer) for row in rows.ROWS] == [
        ("warc_fast", 10, 15),
        ("warc_auto", 2, 0),
        ("heuristics", 5, 15),
        ("language_id", 10, 0),
        ("pii", 15, 0),
        ("whole_pass", 2.2, 0),
    ]


def test_the_json_has_the_figures_of_the_rows_asked_for_and_what_they_were_measured_on(run_cli, tmp_path, small):
    command = ["bench", "data", "--corpora", str(small), "--only", "heuristics", "--only", "warc_fast"]
    done = run_cli(*command, "--seconds", "0.01", "--repeats", "2", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert {"hardware", "versions", "command", "commit", "date", "inputs", "load_average", "results"} <= set(found)
    assert [list(row) for row in found["results"]] == [FIELDS, FIELDS]
    assert [row["name"] for row in found["results"]] == ["warc_fast", "heuristics"]
    assert [row["unit"] for row in found["results"]] == [rows.UNITS["html"], rows.UNITS["text"]]
    assert all(row["value"] > 0 and row["cpu_seconds"] > 0 and row["peer"] is None for row in found["results"])

    pages = sum(path.stat().st_size for path in (small / "html").rglob("*.html"))
    assert found["inputs"]["pages"]["html_bytes"] == pages == found["details"]["warc_fast"]["bytes"]
    assert found["details"]["warc_fast"]["documents"] == 2
    assert found["inputs"]["texts"]["bytes"] == found["details"]["heuristics"]["bytes"] > 30_000
    assert len(found["details"]["heuristics"]["rates"]) == 2
    assert found["details"]["heuristics"]["rates"][0] != found["results"][1]["value"]  # the median of two lies between
    assert "heuristics: repetition 2 of 2" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:4]] == ["warc_fast", "heuristics"]


def test_the_whole_pass_tells_memory_and_what_two_workers_bring(tmp_path, small):
    inputs = Inputs(tmp_path, small, 1_000_000, 1_000_000, print)
    (row,) = (row for row in rows.ROWS if row.name == "whole_pass")
    (outcome,) = rows.run([row], inputs, peers=False, seconds=0.01, repeats=1, say=print)
    memory = outcome.measured.more["memory_mb"]
    sizes = [int(size) for size in memory]
    assert sizes[0] == outcome.measured.bytes and sizes[1] > 3.9 * sizes[0]
    assert all(mb > 20 for mb in memory.values())
    assert outcome.measured.more["copies"] == 1
    assert set(outcome.checks) == {">= 2.2 MB/s", "< 400 MB per worker", "2 workers >= 1.8 x 1"}
    assert outcome.checks["< 400 MB per worker"] is (max(memory.values()) < 400)
    json.dumps(outcome.details, allow_nan=False)


def test_without_corpora_the_installed_documentation_is_measured_on(tmp_path):
    inputs = Inputs(tmp_path, None, 200_000, 100_000, print)
    assert sum(len(text) for text in inputs.texts) > 80_000
    assert inputs.described["pages"]["from"] == "installed documentation in a frame of HTML"
    copied = inputs.write_lines(tmp_path / "copies.jsonl", 3).read_text().splitlines()
    texts = {json.loads(line)["text"] for line in copied}
    assert len(texts) == len(copied) == 3 * len(inputs.texts)


def test_a_rate_is_per_second_of_processor_time_and_not_of_the_clock():
    def once():
        begin = cpu_seconds()
        while cpu_seconds() - begin < 0.05:
            pass
        time.sleep(0.5)
        return 1_000_000

    measured = repeat(once, 0, 1, lambda line: None)
    assert measured.rate > 1 / 0.25  # 20 MB/s by processor time, 1.8 by the clock
    assert measured.cpu_seconds < 0.25


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of memory and time on Linux alone")
def test_the_watch_sees_what_a_child_allocates():
    held = 60_000_000
    child = os.fork()
    if not child:
        block = bytearray(b"x") * held
        time.sleep(30)
        os._exit(len(block) == 0)
    watch = Watch(child).start()
    try:
        deadline = time.monotonic() + 20
        while watch.anonymous.get(child, 0) < held and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        watch.stop()
    assert watch.anonymous[child] >= held
    assert watch.used_since(0)[child] >= 0


def test_a_missing_environment_of_the_peers_is_said_with_the_command_that_makes_it(run_cli, tmp_path, monkeypatch):
    done = run_cli("bench", "data", "--peers", "--only", "pii", env={"MILLRACE_PEERS": str(tmp_path / "nowhere")})
    assert done.returncode == 2
    assert "no environment with the other systems" in done.stderr and "make -C" in done.stderr
    assert " peers;" in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").touch()
    monkeypatch.setenv("MILLRACE_PEERS", str(tmp_path / "venv"))
    assert environment() == tmp_path / "venv"
    monkeypatch.setenv("MILLRACE_PEERS", str(tmp_path))
    with pytest.raises(UserError):
        environment()


def test_all_mistakes_are_told_at_once(run_cli, tmp_path):
    options = ["--only", "heuristic", "--pages", "much", "--corpora", str(tmp_path / "no"), "--json", "absent/out.json"]
    done = run_cli("bench", "data", *options)
    assert done.returncode == 2
    for message in ("--only heuristic: there is no such row", "--pages: 'much' is not a size", "no folder", "absent"):
        assert message in done.stderr
