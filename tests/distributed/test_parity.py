"""Every layout follows the single process: loss within 1e-5 max(1, |a|), gradient norm within 1e-4 relative."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.distributed.ranks import Zygote

STEPS = 20
TRAIN = "tests.distributed.cases:train"
Single = dict[tuple[str, bool], dict[str, Any]]


def grid(most: int) -> list[dict[str, int]]:
    """Every tp x pp x dp x zero on up to `most` processes, in powers of two, that differs in what runs."""
    powers = [n for n in (1, 2, 4, 8) if n <= most]
    found = []
    for tp in powers:
        for pp in powers[:3]:  # the model has 4 blocks
            for dp in powers:
                if tp * pp * dp <= most:
                    stages = [1] if pp > 1 else [0] if dp == 1 else [0, 1, 2, 3]
                    found += [{"tp": tp, "pp": pp, "dp": dp, "zero": zero} for zero in stages]
    return found


def name(value: Any) -> str:
    return "-".join(f"{k}{n}" for k, n in value.items()) if isinstance(value, dict) else str(value)


@pytest.fixture(scope="module")
def single(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Single:
    """The single process, per family and masking."""
    found = {}
    for family in ("gpt", "llama"):
        for masked in (False, True):
            where = tmp_path_factory.mktemp("single") / "case"
            layout = {"tp": 1, "zero": 0}
            [found[family, masked]] = zygote.run(
                TRAIN, 1, where, family=family, layout=layout, steps=STEPS, masked=masked
            )
    return found


def assert_same_curve(a: dict[str, Any], b: dict[str, Any], steps: slice = slice(None)) -> None:
    """DESIGN's bound between a reference `a` and another run `b` of the same steps."""
    pairs = list(zip(a["losses"][steps], b["losses"], strict=True))
    assert all(abs(x - y) <= 1e-5 * max(1.0, abs(x)) for x, y in pairs), pairs
    pairs = list(zip(a["norms"][steps], b["norms"], strict=True))
    assert all(abs(x - y) <= 1e-4 * x for x, y in pairs), pairs


def follow(zygote: Zygote, single: Single, where: Path, layout: dict[str, int], family: str, **options: Any) -> None:
    """Runs the layout and holds it against the single process."""
    procs = layout.get("tp", 1) * layout.get("pp", 1) * layout.get("dp", 1)
    axes = {key: value for key, value in layout.items() if key != "dp"}
    # Of the global batch of 8: few passes where many ranks share the cores, and accumulation where there are few.
    options["micro_batch"] = min(4, 8 // layout.get("dp", 1))
    for result in zygote.run(TRAIN, procs, where / "case", family=family, layout=axes, steps=STEPS, **options):
        assert result["layout"]["dp"] == layout.get("dp", 1)
        assert result["layout"]["zero"] == layout["zero"]
        reference = single[family, options.get("masked", False)]
        assert_same_curve(reference, result)
        # A weight that went wrong without a trace in the curve would show here.
        assert abs(result["eval"] - reference["eval"]) <= 1e-5 * reference["eval"]


@pytest.mark.parametrize("layout", [v for v in grid(8) if v != {"tp": 1, "pp": 1, "dp": 1, "zero": 0}], ids=name)
def test_every_layout_follows_the_single_process(
    zygote: Zygote, single: Single, tmp_path: Path, layout: dict[str, int]
) -> None:
    follow(zygote, single, tmp_path, layout, "gpt")


# Each value of each further axis at least once beside each way to split.
PAIRS: list[tuple[str, dict[str, int], dict[str, Any]]] = [
    ("llama", {"tp": 2, "pp": 2, "dp": 2, "zero": 1}, {"masked": True}),
    ("llama", {"tp": 4, "pp": 1, "dp": 1, "zero": 0}, {"masked": True}),
    ("llama", {"tp": 1, "pp": 4, "dp": 1, "zero": 1}, {}),
    ("llama", {"tp": 2, "pp": 1, "dp": 2, "zero": 3}, {"masked": True}),
    ("llama", {"tp": 1, "pp": 1, "dp": 4, "zero": 2}, {"masked": True}),
    ("gpt", {"tp": 1, "pp": 3, "dp": 1, "zero": 1}, {"masked": True}),  # uneven stages
    ("llama", {"tp": 1, "pp": 3, "dp": 1, "zero": 1}, {}),
    ("gpt", {"tp": 1, "pp": 1, "dp": 2, "zero": 0}, {"masked": True}),
    ("gpt", {"tp": 2, "pp": 2, "dp": 1, "zero": 1, "sequence_parallel": False}, {"masked": True}),
    ("gpt", {"tp": 2, "pp": 1, "dp": 2, "zero": 1, "sequence_parallel": False}, {}),
    ("gpt", {"tp": 2, "pp": 1, "dp": 1, "zero": 0}, {"recompute": "full"}),
    ("gpt", {"tp": 2, "pp": 1, "dp": 2, "zero": 3}, {"recompute": "full"}),
    ("llama", {"tp": 2, "pp": 2, "dp": 1, "zero": 1}, {"recompute": "full"}),
    ("llama", {"tp": 1, "pp": 1, "dp": 2, "zero": 2}, {"recompute": "selective"}),
    ("gpt", {"tp": 2, "pp": 2, "dp": 1, "zero": 1}, {"recompute": "selective"}),
]


@pytest.mark.parametrize(("family", "layout", "options"), PAIRS, ids=name)
def test_further_axes_follow_the_single_process(
    zygote: Zygote, single: Single, tmp_path: Path, family: str, layout: dict[str, Any], options: dict[str, Any]
) -> None:
    follow(zygote, single, tmp_path, layout, family, **options)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt", "llama"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("recompute", ["none", "full", "selective"])
@pytest.mark.parametrize("sequence_parallel", [False, True])
@pytest.mark.parametrize("layout", grid(8), ids=name)
def test_the_full_product_follows_the_single_process(
    zygote: Zygote, single: Single, tmp_path: Path, layout: dict[str, Any], sequence_parallel: bool, recompute: str,
    masked: bool, family: str,
) -> None:  # fmt: skip
    if family == "llama" and layout["tp"] > 4:
        return  # 4 key/value heads
    if layout["tp"] == 1 and sequence_parallel:
        return  # the same run as without
    layout = {**layout, "sequence_parallel": sequence_parallel}
    follow(zygote, single, tmp_path, layout, family, masked=masked, recompute=recompute)


def test_the_tiny_model_learns(single: Single) -> None:
    for result in single.values():
        assert result["losses"][0] > 5.5
        assert result["losses"][-1] < result["losses"][0] - 0.4


def test_masked_labels_change_the_loss(single: Single) -> None:
    assert single["gpt", True]["losses"] != single["gpt", False]["losses"]


@pytest.mark.parametrize(
    "layout",
    [{"zero": 1}, {"tp": 2, "zero": 1}, {"dp": 2, "zero": 1}, {"dp": 2, "zero": 2}, {"dp": 2, "zero": 3},
     {"pp": 2, "zero": 1}, {"tp": 2, "pp": 2, "dp": 2, "zero": 1}],
    ids=name,
)  # fmt: skip
def test_bf16_with_fp32_masters_stays_near_fp32(
    zygote: Zygote, single: Single, tmp_path: Path, layout: dict[str, int]
) -> None:
    procs = layout.get("tp", 1) * layout.get("pp", 1) * layout.get("dp", 1)
    axes = {key: value for key, value in layout.items() if key != "dp"}
    results = zygote.run(TRAIN, procs, tmp_path / "case", family="gpt", layout=axes, steps=STEPS, precision="bf16")
    for result in results:
        gaps = [abs(a - b) for a, b in zip(single["gpt", False]["losses"], result["losses"], strict=True)]
        assert max(gaps) < 0.05, gaps
