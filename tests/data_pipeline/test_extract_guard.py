"""A page that hangs or crashes the extractor costs its time limit and one rejection, nothing else."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from configs.errors import MachineError
from configs.schema.extract import Extract
from data_pipeline.extract import guard as module
from data_pipeline.extract.guard import Guard

PAGE = b"<html><body><p>A page that anyone can read, of one paragraph.</p></body></html>"
TEXT = "A page that anyone can read, of one paragraph."
# The parser's time grows with the square of the depth: minutes, once the bound is lifted.
HANGS = b"<div>" * 300_000 + b"x"


@pytest.fixture
def guard():
    made = []

    def make(**settings):
        made.append(Guard(Extract(**settings)))
        return made[-1]

    yield make
    for one in made:
        one.close(kill=True)


def test_a_page_that_hangs_the_parser_costs_its_time_limit_and_the_next_page_is_read(guard):
    some = guard(max_depth=10**9, time_limit=0.5)
    assert some.read(PAGE, "").text == TEXT
    assert some.read(HANGS, "").refused == ("extract_timeout", 0.5)
    assert some.read(PAGE, "").text == TEXT


def test_the_bounds_refuse_such_a_page_before_any_time_is_lost(guard):
    some = guard()
    assert some.read(HANGS, "").refused == ("html_depth", 3001.0)


@pytest.mark.parametrize("signalled", [signal.SIGSEGV, signal.SIGKILL])
def test_a_page_on_which_the_extractor_dies_twice_is_rejected_with_the_signal(guard, signalled):
    some = guard(max_depth=10**9, time_limit=60)
    assert some.read(PAGE, "").text == TEXT
    first = some.process_id
    killed = set()
    done = threading.Event()

    def kill():
        while not done.is_set() and len(killed) < 2:
            process = some.process_id
            if process not in killed and busy(process):
                killed.add(process)
                os.kill(process, signalled)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    refused = some.read(HANGS, "").refused
    done.set()
    killer.join()
    assert refused == ("extract_crash", float(signalled))
    assert first in killed and len(killed) == 2
    assert some.read(PAGE, "").text == TEXT


def busy(process):
    """It has read a page: the parser has been at work since it started."""
    if process is None:
        return False
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > 1


def test_a_page_is_not_condemned_for_an_extractor_that_something_else_killed(guard):
    some = guard()
    assert some.read(PAGE, "").text == TEXT
    os.kill(some.process_id, signal.SIGKILL)
    assert some.read(PAGE, "").text == TEXT


def test_a_page_that_takes_more_memory_than_allowed_is_rejected(guard):
    some = guard(max_nodes=10**9, memory_limit=1 << 28)
    bold = b"".join(b"<b id=%d>" % n for n in range(500))
    assert some.read(b"<p>" + bold + b"x<p>" * 20_000, "").refused[0] == "extract_crash"
    assert some.read(PAGE, "").text == TEXT


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at the death of a parent is Linux's")
@pytest.mark.parametrize("page", [PAGE, HANGS])
def test_no_extractor_outlives_a_worker_that_was_killed(page):
    code = (
        "import sys\nfrom configs.schema.extract import Extract\nfrom data_pipeline.extract.guard import Guard\n"
        "guard = Guard(Extract(max_depth=10**9, time_limit=600))\nguard.read(b'<p>x', '')\n"
        f"print(guard.process_id, flush=True)\nguard.read({page[:5]!r} * {len(page) // 5}, '')\nsys.stdin.read()\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    extractor = int(worker.stdout.readline())
    time.sleep(0.3)
    assert Path(f"/proc/{extractor}").exists()
    worker.kill()
    worker.wait()
    for _ in range(500):
        if not Path(f"/proc/{extractor}").exists() or "Z (" in Path(f"/proc/{extractor}/status").read_text():
            break
        time.sleep(0.02)
    else:
        pytest.fail("the extractor lives on")
    worker.stdin.close()
    worker.stdout.close()


def test_an_extractor_that_cannot_start_is_a_fault_of_the_machine(guard, monkeypatch, tmp_path):
    (tmp_path / "resiliparse.py").write_text("raise ImportError('broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MachineError, match="does not start"):
        guard().read(PAGE, "")


def test_what_pages_say_and_odd_charsets_pass_through_the_pipe(guard):
    some = guard()
    page = some.read("<html lang=de><title>Für Elise</title><p>Für Elise, ein Stück.".encode("latin-1"), "latin-1")
    assert page.text == "Für Elise, ein Stück."
    assert page.said == {"html_lang": "de", "title": "Für Elise"}
    assert some.read(PAGE, "\udcff nonsense" * 100).text == TEXT
    assert some.read(b"", "").text == ""
    # More than any pipe holds, in both directions.
    assert len(some.read(b"<p>" + b"word " * 1_000_000, "").text) > 4_000_000


def test_one_extractor_serves_all_units_of_a_configuration():
    config = Extract()
    assert module.guard_of(config) is module.guard_of(Extract())
    assert module.guard_of(Extract(max_depth=7)) is not module.guard_of(config)
