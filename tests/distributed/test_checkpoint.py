"""A checkpoint continues the run: bit for bit on its own layout, within the bound of layouts on any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.distributed.ranks import Zygote
from tests.distributed.test_parity import assert_same_curve

TRAIN = "tests.distributed.cases:train"
LAYOUTS: list[tuple[int, dict[str, Any]]] = [
    (1, {"tp": 1}), (2, {"tp": 2}), (2, {"zero": 1}), (2, {"zero": 2}), (2, {"zero": 3}), (2, {"pp": 2}),
    (4, {"tp": 2, "zero": 1}), (4, {"tp": 2, "zero": 0}), (4, {"tp": 2, "zero": 3}), (8, {"tp": 2, "pp": 2, "zero": 1}),
]  # fmt: skip
CHAIN: list[tuple[int, dict[str, Any]]] = [
    (8, {"tp": 2, "pp": 2, "zero": 1}), (4, {"pp": 4, "zero": 0}), (4, {"zero": 3}), (4, {"tp": 4, "zero": 2}),
    (3, {"pp": 3}), (4, {"tp": 2, "zero": 2}), (1, {"tp": 1}), (2, {"zero": 0}), (4, {"tp": 2, "zero": 3}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("precision", "procs", "layout"),
    [("fp32", *case) for case in LAYOUTS] + [("bf16", *case) for case in (LAYOUTS[4], LAYOUTS[6], LAYOUTS[9])],
    ids=lambda v: str(v).replace(" ", ""),
)
def test_resume_on_the_same_layout_is_bit_exact(
    zygote: Zygote, tmp_path: Path, precision: str, procs: int, layout: dict[str, Any]
) -> None:
    run = {"family": "gpt", "layout": layout, "precision": precision}
    undisturbed = zygote.run(TRAIN, procs, tmp_path / "whole", steps=8, **run)
    zygote.run(TRAIN, procs, tmp_path / "first", steps=4, save=str(tmp_path / "run"), **run)
    resumed = zygote.run(TRAIN, procs, tmp_path / "second", steps=8, load=str(tmp_path / "run"), **run)
    for whole, part in zip(undisturbed, resumed, strict=True):
        assert part["losses"] == whole["losses"][4:]
        assert part["norms"] == whole["norms"][4:]


@pytest.mark.parametrize("family", ["gpt", "llama"])
def test_a_chain_of_layouts_equals_the_undisturbed_run(zygote: Zygote, tmp_path: Path, family: str) -> None:
    [whole] = zygote.run(TRAIN, 1, tmp_path / "whole", family=family, layout={"tp": 1}, steps=4 * len(CHAIN))
    load = None
    for i, (procs, layout) in enumerate(CHAIN):
        save = str(tmp_path / f"run-{i}")
        parts = zygote.run(
            TRAIN, procs, tmp_path / f"case-{i}", family=family, layout=layout, steps=4 * (i + 1), load=load, save=save
        )
        for part in parts:
            assert_same_curve(whole, part, slice(4 * i, 4 * (i + 1)))
        load = save
