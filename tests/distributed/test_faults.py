"""The parity suite can fail: each known silent error, planted, turns it red."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.ranks import Zygote
from tests.distributed.test_parity import TRAIN, assert_same_curve

# fault, family, processes, layout, masked labels
PLANTED = [
    ("norm_gradients_not_reduced", "gpt", 2, {"tp": 2}, False),
    ("activations_cut_over_tp", "gpt", 4, {"tp": 2, "pp": 2}, False),
    ("clipped_by_deepspeed_at_zero_0", "gpt", 2, {"pp": 2, "zero": 0}, False),
    ("mean_of_means", "gpt", 1, {}, True),
    ("gate_and_up_as_one_run", "llama", 2, {"tp": 2}, False),
    ("tied_gradient_not_reduced", "gpt", 2, {"pp": 2}, False),
    ("padded_columns_not_masked", "gpt", 1, {}, False),
]
STEPS = 8


def assert_red(reference: dict[str, Any], result: dict[str, Any], steps: slice = slice(None)) -> None:
    """The curves are those of a run that looks sound, and the suite's comparison refuses them."""
    assert all(isfinite(value) for value in (*result["losses"], *result["norms"]))
    try:
        assert_same_curve(reference, result, steps)
    except AssertionError:
        return
    raise AssertionError("the fault was not noticed")


@pytest.mark.parametrize(("fault", "family", "procs", "layout", "masked"), PLANTED, ids=[row[0] for row in PLANTED])
def test_a_planted_fault_turns_parity_red(
    zygote: Zygote, tmp_path: Path, fault: str, family: str, procs: int, layout: dict[str, Any], masked: bool
) -> None:
    run = {"family": family, "steps": STEPS, "masked": masked}
    [single] = zygote.run(TRAIN, 1, tmp_path / "single", layout={}, **run)
    for result in zygote.run(TRAIN, procs, tmp_path / "sound", layout=layout, **run):
        assert_same_curve(single, result)
    for result in zygote.run(TRAIN, procs, tmp_path / "faulty", layout=layout, fault=fault, **run):
        assert_red(single, result)


def test_a_moment_that_is_not_restored_turns_resume_red(zygote: Zygote, tmp_path: Path) -> None:
    run = {"family": "gpt", "layout": {}}
    [whole] = zygote.run(TRAIN, 1, tmp_path / "whole", steps=8, **run)
    zygote.run(TRAIN, 1, tmp_path / "first", steps=4, save=str(tmp_path / "run"), **run)
    fault = "second_moment_not_restored"
    [resumed] = zygote.run(TRAIN, 1, tmp_path / "second", steps=8, load=str(tmp_path / "run"), fault=fault, **run)
    assert_red(whole, resumed, slice(4, 8))
