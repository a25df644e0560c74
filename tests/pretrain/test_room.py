"""A run that its disk cannot hold is refused before it starts, with what would fit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from configs.loader import load
from pretrain import check, room
from pretrain.checkpoint.directory import newest
from tests.conftest import Cli


def test_a_checkpoint_is_as_large_as_foretold(run_cli: Cli, config: Path, tmp_path: Path) -> None:
    assert run_cli("train", config, "train.stop_after=1", "eval.samples=1").returncode == 0
    found = newest(tmp_path / "run")
    assert found is not None
    written = sum(file.stat().st_size for file in found.path.glob("*.safetensors"))
    foretold = room.checkpoint_bytes(load(str(config)).config, 400)
    assert foretold < written < foretold + 32_000, "numbers, and a header of names"


@pytest.mark.parametrize(
    ("every", "steps", "stop_after", "step", "left"),
    [
        (0, 100, 0, 0, 1),
        (10, 100, 0, 0, 10),
        (10, 105, 0, 0, 11),
        (10, 105, 0, 100, 1),
        (10, 105, 50, 20, 3),
        (10, 100, 0, 100, 0),
        (1000, 100, 0, 0, 1),
    ],
)
def test_the_saves_that_are_left_are_counted(every: int, steps: int, stop_after: int, step: int, left: int) -> None:
    changes = [f"checkpoint.every={every}", f"train.steps={steps}", f"train.stop_after={stop_after}"]
    config = load("gpt3-125m", [*changes, "schedule.warmup_steps=0"]).config
    assert room.saves_left(config, step) == left
    # As the loop decides it.
    last = stop_after or steps
    assert left == sum(1 for s in range(step + 1, last + 1) if s == last or (every and s % every == 0))


def test_no_room_is_told_with_what_would_fit(tmp_path: Path) -> None:
    overrides = [f"run.dir={tmp_path / 'run'}", "checkpoint.every=1", "train.steps=1000000000"]
    (problem,) = room.problems(load("gpt-demo", overrides))
    size, free = room.checkpoint_bytes(load("gpt-demo").config, 8192), shutil.disk_usage(tmp_path).free
    assert problem.what.startswith(f"1,000,000,000 checkpoints of about {size / 1e6:.3g} MB take ")
    every = int(problem.hint.split("checkpoint.every=")[1].split()[0])
    assert every == pytest.approx(1e9 / (free / size), rel=0.05)
    assert room.problems(load("gpt-demo", [*overrides, f"checkpoint.every={every + every // 10}"])) == []
    assert room.problems(load("gpt-demo", overrides), whole_run=False) == []


def test_not_even_one_checkpoint_fits(tmp_path: Path) -> None:
    huge = load("gpt3-175b", ["model.num_layers=9600000", f"run.dir={tmp_path}", "checkpoint.every=0"])
    for whole_run in (True, False):
        (problem,) = room.problems(huge, whole_run)
        assert problem.what.startswith("1 checkpoint of about ") and "another disk" in problem.hint


def test_a_run_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    loaded = load("gpt-demo", [f"run.dir={tmp_path}/file/run"])
    (problem,) = room.directory_problems(loaded)
    assert room.problems(loaded) == [], "told once"
    assert "is a file" in problem.what and problem.where.startswith("command line: run.dir=")
    if os.geteuid():  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        (problem,) = room.directory_problems(load("gpt-demo", [f"run.dir={tmp_path}/locked/run"]))
        assert "no permission" in problem.what


def test_shards_that_went_missing_or_were_cut_are_counted(tmp_path: Path, config: Path, corpus: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(corpus, copy)
    loaded = load(str(config), [f"data.dir={copy}"])
    assert check.disk_problems(loaded) == []
    shard = copy / "shards/train/words-00000.arrow"
    with shard.open("r+b") as file:
        file.truncate(100)
    (problem,) = check.disk_problems(loaded)
    assert "1 of 2 shards" in problem.what and "of 100 bytes instead of" in problem.what
    assert "millrace data verify" in problem.hint and problem.where == f"command line: data.dir={copy}"
    shard.unlink()
    (problem,) = check.disk_problems(loaded)
    assert "words-00000.arrow is missing" in problem.what
    assert check.disk_problems(loaded, corpus=False) == []
