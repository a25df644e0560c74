"""Every layout follows the single process: loss within 1e-5 max(1, |a|), gradient norm within 1e-4 relative."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.distributed.ranks import Zygote

STEPS = 20
LAYOUTS = [
    {"tp": tp, "zero": zero, "sequence_parallel": sequence_parallel, "dp": dp}
    for tp, dp, zero, sequence_parallel in [
        (1, 1, 1, False), (2, 1, 0, True), (2, 1, 0, False), (1, 2, 0, False), (1, 2, 1, False),
        (2, 2, 0, True), (2, 2, 1, True), (2, 2, 1, False),
    ]
]  # fmt: skip


@pytest.fixture(scope="module")
def reference(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], dict[str, Any]]:
    """The single process, per family and masking."""
    found = {}
    for family in ("gpt", "llama"):
        for masked in (False, True):
            [result] = zygote.run(
                "tests.distributed.cases:train", 1, tmp_path_factory.mktemp("single") / "case",
                family=family, layout={"tp": 1, "zero": 0}, steps=STEPS, masked=masked,
            )  # fmt: skip
            found[family, masked] = result
    return found


def assert_same_curve(a: dict[str, Any], b: dict[str, Any], steps: slice = slice(None)) -> None:
    """DESIGN's bound between a reference `a` and another run `b` of the same steps."""
    pairs = list(zip(a["losses"][steps], b["losses"], strict=True))
    assert all(abs(x - y) <= 1e-5 * max(1.0, abs(x)) for x, y in pairs), pairs
    pairs = list(zip(a["norms"][steps], b["norms"], strict=True))
    assert all(abs(x - y) <= 1e-4 * x for x, y in pairs), pairs


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda v: "-".join(f"{k}{int(n)}" for k, n in v.items()))
@pytest.mark.parametrize(("family", "masked"), [("gpt", False), ("llama", True)])
def test_a_layout_follows_the_single_process(
    zygote: Zygote,
    reference: dict[tuple[str, bool], Any],
    tmp_path: Path,
    family: str,
    masked: bool,
    layout: dict[str, Any],
) -> None:
    axes = {key: value for key, value in layout.items() if key != "dp"}
    results = zygote.run(
        "tests.distributed.cases:train", layout["tp"] * layout["dp"], tmp_path / "case",
        family=family, layout=axes, steps=STEPS, masked=masked,
    )  # fmt: skip
    for result in results:
        assert result["layout"]["dp"] == layout["dp"]
        assert_same_curve(reference[family, masked], result)


def test_the_tiny_model_learns(reference: dict[tuple[str, bool], Any]) -> None:
    for result in reference.values():
        assert result["losses"][0] > 5.5
        assert result["losses"][-1] < result["losses"][0] - 0.5


def test_masked_labels_change_the_loss(reference: dict[tuple[str, bool], Any]) -> None:
    assert reference["gpt", True]["losses"] != reference["gpt", False]["losses"]


@pytest.mark.parametrize(("tp", "dp"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_bf16_with_fp32_masters_stays_near_fp32(
    zygote: Zygote, reference: dict[tuple[str, bool], Any], tmp_path: Path, tp: int, dp: int
) -> None:
    results = zygote.run(
        "tests.distributed.cases:train", tp * dp, tmp_path / "case",
        family="gpt", layout={"tp": tp, "zero": 1}, steps=STEPS, precision="bf16",
    )  # fmt: skip
    for result in results:
        gaps = [abs(a - b) for a, b in zip(reference["gpt", False]["losses"], result["losses"], strict=True)]
        assert max(gaps) < 0.05, gaps
