"""Checkpoints are written while training goes on, by ranks of which none holds a whole tensor, and failures are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pretrain.checkpoint.directory import directories, newest
from pretrain.checkpoint.read import CheckpointReader
from tests.distributed.ranks import Zygote

HERE = "tests.distributed.saving:"


@pytest.mark.parametrize(
    ("procs", "layout"), [(2, {"zero": 1}), (2, {"pp": 2}), (2, {"tp": 2, "zero": 0})], ids=["zero 1", "pp 2", "tp 2"]
)
def test_what_is_saved_is_the_state_at_the_save_though_training_goes_on(
    zygote: Zygote, tmp_path: Path, procs: int, layout: dict[str, Any]
) -> None:
    results = zygote.run(
        HERE + "train_while_a_save_is_under_way",
        procs,
        tmp_path / "case",
        layout=layout,
        at_once=str(tmp_path / "a"),
        slowly=str(tmp_path / "b"),
    )
    for result in results:
        # Two updates were made before the disk took anything, and the second checkpoint waited for the first.
        assert result["ended"] == [False, False] and result["during"] == [2] and result["after"] == [2, 4]
        assert all(stall > 0 and seconds > 0 for stall, seconds in result["stalls"])
    [(_, _, at_once)] = directories(tmp_path / "a")
    [(_, _, slowly), (_, _, later)] = directories(tmp_path / "b")
    names = sorted(path.name for path in at_once.iterdir())
    assert names == sorted(path.name for path in slowly.iterdir())
    for name in names:
        same = (at_once / name).read_bytes() == (slowly / name).read_bytes()
        assert same, name
        assert name == "index.json" or (later / name).read_bytes() != (slowly / name).read_bytes()


def test_a_rank_that_cannot_write_is_named_on_every_rank_and_harms_nothing(zygote: Zygote, tmp_path: Path) -> None:
    layout = {"zero": 1}
    whole = zygote.run(HERE + "undisturbed", 2, tmp_path / "whole", layout=layout)
    run_dir = tmp_path / "run"
    results = zygote.run(HERE + "train_with_a_disk_that_fails", 2, tmp_path / "c", layout=layout, run_dir=str(run_dir))
    for result, losses in zip(results, whole, strict=True):
        assert "checkpoint of step 2 not written: rank 1: OSError: No space left on device" in result["said"]
        assert "step-00000002-life-0001/rank-00001.safetensors" in result["said"] and "rank 0" not in result["said"]
        assert "saved: the checkpoints before this one are complete" in result["said"] and "go on: " in result["said"]
        assert result["losses"] == losses and result["newest"] is None
        assert result["raised_after"] == results[0]["raised_after"]
    found = newest(run_dir)
    assert found is not None and found.step == 4
    CheckpointReader(found.path).verify()


def test_no_rank_holds_more_than_its_share(zygote: Zygote, tmp_path: Path) -> None:
    [alone] = zygote.run(HERE + "memory_of_saving", 1, tmp_path / "1", layout={"tp": 1}, run_dir=str(tmp_path / "one"))
    shares = zygote.run(HERE + "memory_of_saving", 4, tmp_path / "4", layout={"tp": 2, "zero": 1},
                        run_dir=str(tmp_path / "four"))  # fmt: skip
    assert sum(share["copied"] for share in shares) == alone["copied"] > 20_000_000
    for share in shares:
        assert share["copied"] < 0.27 * alone["copied"]
        assert share["peak"] < share["copied"] + 1_000_000  # beside the copy: names, JSON
    # From one process, whose pieces are whole tensors, and from four; a mask of a quarter of the slice, blocks and JSON.
    for source in ("one", "four"):
        for layout in ({"tp": 2, "zero": 1}, {"tp": 2, "zero": 3}):
            case = tmp_path / f"{source}-{layout['zero']}"
            for result in zygote.run(
                HERE + "memory_of_restoring", 4, case, layout=layout, run_dir=str(tmp_path / source)
            ):
                assert result["largest"] == 2 * 512 * 2048 and result["peak"] < 1.25 * result["largest"] + 700_000, (
                    result
                )
