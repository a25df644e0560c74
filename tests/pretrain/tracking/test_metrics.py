"""metrics.jsonl is the truth: append-only, exact, and readable after any death."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import MachineError
from pretrain.tracking.metrics import MetricsLog, last_life, read_metrics


def steps(rows):
    return [(row["life"], row["step"]) for row in rows if row.get("event") != "start"]


def test_rows_come_back_as_they_were_written(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.start(1, 0, layout={"tp": 2}, host="wheel")
        log.row(1, loss=10.5, lr=3e-6, tokens=4096)
        log.row(2, loss=np.float32(0.1), tokens=np.int64(8192), note="größer", skipped=[1, 2])
    assert read_metrics(tmp_path) == [
        {"event": "start", "life": 1, "from_step": 0, "layout": {"tp": 2}, "host": "wheel"},
        {"life": 1, "step": 1, "loss": 10.5, "lr": 3e-6, "tokens": 4096},
        {"life": 1, "step": 2, "loss": float(np.float32(0.1)), "tokens": 8192, "note": "größer", "skipped": [1, 2]},
    ]


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(), min_size=1, max_size=20))
def test_every_float_comes_back_bit_for_bit_and_every_line_is_json(tmp_path_factory, values):
    directory = tmp_path_factory.mktemp("run")
    with MetricsLog(directory) as log:
        log.start(1, 0)
        for step, value in enumerate(values):
            log.row(step, loss=value)
    back = [row["loss"] for row in read_metrics(directory)[1:]]
    for wrote, read in zip(values, back, strict=True):
        assert math.isnan(read) if math.isnan(wrote) else wrote.hex() == read.hex()

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    for line in (directory / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_a_value_that_json_cannot_write_is_null_and_noted(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.start(1, 0)
        log.row(1, loss=float("nan"), grad_norm=float("-inf"), lr=0.1)
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1])
    assert line["loss"] is None and line["grad_norm"] is None and line["lr"] == 0.1
    assert line["nonfinite"] == {"loss": "nan", "grad_norm": "-inf"}


def test_a_start_row_voids_the_rows_beyond_its_step(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.start(1, 0)
        for step in range(1, 6):
            log.row(step, loss=1.0)
    with MetricsLog(tmp_path) as log:
        log.start(2, 3)
        log.row(4, loss=2.0)
        log.start(3, 2)  # a rollback in the same process
        log.row(3, loss=3.0)
    rows = read_metrics(tmp_path)
    assert steps(rows) == [(1, 1), (1, 2), (3, 3)]
    assert [row["from_step"] for row in rows if row.get("event") == "start"] == [0, 3, 2]
    assert last_life(tmp_path) == 3


def test_a_torn_last_line_is_ignored_and_not_glued_to_the_next_row(tmp_path, caplog):
    with MetricsLog(tmp_path) as log:
        log.start(1, 0)
        log.row(1, loss=1.0)
        log.row(2, loss=2.0)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    line = whole.splitlines(keepends=True)[-1]
    for cut in range(1, len(line)):
        path.write_bytes(whole[:-cut])
        # Only the newline is missing: the row is all there, and stays.
        assert steps(read_metrics(tmp_path)) == ([(1, 1), (1, 2)] if cut == 1 else [(1, 1)])
        with MetricsLog(tmp_path) as log:
            log.start(2, 1)
            log.row(2, loss=4.0)
        assert path.read_bytes().startswith(whole[:-cut])  # append-only
        rows = read_metrics(tmp_path)
        assert steps(rows) == [(1, 1), (2, 2)]
        assert rows[-1]["loss"] == 4.0
    assert last_life(tmp_path) == 2
    assert not caplog.records


def test_a_damaged_line_elsewhere_is_skipped_and_said(tmp_path, caplog):
    with MetricsLog(tmp_path) as log:
        log.start(1, 0)
        for step in (1, 2, 3):
            log.row(step, loss=1.0)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * 20 + b"\n"
    path.write_bytes(b"".join(lines))
    assert steps(read_metrics(tmp_path)) == [(1, 1), (1, 3)]
    assert "row 3 is damaged" in caplog.text


def test_rows_survive_a_kill_of_the_writer(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from pretrain.tracking.metrics import MetricsLog\n"
        "log = MetricsLog(Path(sys.argv[1])); log.start(1, 0)\n"
        "for step in range(1, 101): log.row(step, loss=1 / step)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    rows = read_metrics(tmp_path)
    assert [row["loss"] for row in rows[1:]] == [1 / step for step in range(1, 101)]


def test_no_file_is_no_rows_and_no_life(tmp_path):
    assert read_metrics(tmp_path) == []
    assert last_life(tmp_path) == 0


def test_misuse_is_refused(tmp_path):
    with MetricsLog(tmp_path) as log:
        with pytest.raises(ValueError, match="before start"):
            log.row(1, loss=1.0)
        log.start(1, 0)
        with pytest.raises(ValueError, match="event, nonfinite"):
            log.row(1, event="x", nonfinite={})
        with pytest.raises(TypeError):
            log.row(1, loss=object())
    assert len(read_metrics(tmp_path)) == 1


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(MachineError, match=r"metrics\.jsonl"):
        MetricsLog(tmp_path / "absent")
    if Path("/dev/full").exists():
        (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
        log = MetricsLog(tmp_path)
        with pytest.raises(MachineError, match="No space left"):
            log.start(1, 0)
