"""Progress: a bar on a terminal, lines elsewhere."""

import io
import os
import pty
import subprocess
import sys

import pytest

from data_pipeline.progress import Progress, amount, duration

SHOWN = """
import sys, time
from data_pipeline.progress import Progress
report = Progress()
report.say("[bold]text[/bold] stays")
with report.stage("documents", 1_000_000) as stage:
    for _ in range(20):
        stage.advance(50_000)
        time.sleep(0.02)
"""


def on_a_terminal(**environment):
    """What the script writes to a terminal of its own."""
    master, slave = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    env |= {"TERM": "xterm-256color", "COLUMNS": "120", **environment}
    process = subprocess.Popen([sys.executable, "-c", SHOWN], stderr=slave, env=env)
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        shown += piece
    os.close(master)
    assert process.wait() == 0
    return shown.decode()


def test_a_terminal_shows_a_bar_with_rate_and_time_left():
    shown = on_a_terminal()
    assert "━" in shown and "MB/s" in shown and "left" in shown
    assert "\x1b[3" in shown  # colours
    assert "documents: done, 1.0 MB in" in shown
    assert "[bold]text[/bold] stays" in shown


def test_no_color_is_honoured():
    shown = on_a_terminal(NO_COLOR="1")
    assert "━" in shown
    assert "\x1b[3" not in shown.replace("\x1b[3m", "")


def test_a_dumb_terminal_gets_lines():
    shown = on_a_terminal(TERM="dumb")
    assert "\x1b" not in shown and "documents: done" in shown


def test_elsewhere_come_plain_lines_with_rate_and_time_left():
    stream = io.StringIO()
    with Progress(stream, every_seconds=0).stage("documents", 4000) as stage:
        stage.advance(1000)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("documents: 1.0 kB of 4.0 kB, 25%, ")
    assert lines[0].endswith(" left") and "/s, " in lines[0]
    assert lines[-1].startswith("documents: done, 1.0 kB in ")


def test_lines_are_seconds_apart():
    stream = io.StringIO()
    with Progress(stream, every_seconds=3600).stage("documents", 100) as stage:
        for _ in range(100):
            stage.advance(1)
    assert len(stream.getvalue().splitlines()) == 1


def test_a_stage_broken_off_says_so():
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress(stream).stage("documents", 10, "documents") as stage:
        stage.advance(3)
        raise KeyboardInterrupt
    assert "documents: stopped, 3 documents in" in stream.getvalue()


def test_quiet_is_quiet(capsys):
    report = Progress(quiet=True)
    report.say("a")
    with report.stage("documents", 10):
        pass
    assert capsys.readouterr() == ("", "")


def test_amounts_and_durations_are_read_by_people():
    assert [amount(n) for n in (0, 999, 1000, 1_234_567, 5e9, 2e15)] == [
        "0 B", "999 B", "1.0 kB", "1.2 MB", "5.0 GB", "2000.0 TB",
    ]  # fmt: skip
    assert amount(1234, "documents") == "1,234 documents"
    assert [duration(s) for s in (0, 59.6, 75, 3700)] == ["0:00", "1:00", "1:15", "1:01:40"]
