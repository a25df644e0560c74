"""Compiled blocks follow the plain ones in every layout, and are compiled indeed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pretrain.parallel.compile import problems
from tests.conftest import absent
from tests.distributed.ranks import Zygote
from tests.distributed.test_parity import TRAIN, assert_same_curve, name

STEPS = 6
WHOLE = 3  # a block is one graph: for training, for evaluation, and for evaluation of a first block

# Layout, options, and whether every block is one graph. Linears of tensor parallelism start collectives that torch.compile
# cannot trace, and break the graph there.
QUICK: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"tp": 1, "zero": 0}, {"family": "llama"}, True),
    ({"tp": 1, "dp": 2, "zero": 3}, {"family": "gpt", "recompute": "full"}, True),
]
SLOW: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"tp": 1, "zero": 0}, {"family": "gpt", "recompute": "selective"}, True),
    ({"tp": 1, "zero": 0}, {"family": "gpt", "recompute": "full"}, True),
    ({"tp": 2, "zero": 0}, {"family": "gpt"}, False),
    ({"tp": 2, "zero": 0, "sequence_parallel": False}, {"family": "llama"}, False),
    ({"tp": 2, "zero": 0}, {"family": "llama", "recompute": "full"}, False),
    ({"tp": 1, "pp": 2, "zero": 1}, {"family": "gpt", "recompute": "full"}, True),
    ({"tp": 1, "dp": 2, "zero": 1}, {"family": "gpt"}, True),
    ({"tp": 1, "dp": 2, "zero": 2}, {"family": "llama"}, True),
    ({"tp": 1, "dp": 2, "zero": 3}, {"family": "gpt"}, True),
    ({"tp": 2, "dp": 2, "zero": 3}, {"family": "llama"}, False),
]


@pytest.fixture(autouse=True)
def compiler() -> None:
    """What train.compile needs of this machine."""
    if lacking := problems("cpu"):
        absent("; ".join(problem.what for problem in lacking))


@pytest.fixture(scope="module")
def plain(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The single process without compilation, per family."""
    found = {}
    for family in ("gpt", "llama"):
        where = tmp_path_factory.mktemp("plain") / "case"
        [found[family]] = zygote.run(TRAIN, 1, where, family=family, layout={"tp": 1, "zero": 0}, steps=STEPS)
    return found


def compiled(
    zygote: Zygote, where: Path, layout: dict[str, Any], options: dict[str, Any], **more: Any
) -> list[dict[str, Any]]:
    procs = layout.get("tp", 1) * layout.get("pp", 1) * layout.get("dp", 1)
    axes = {key: value for key, value in layout.items() if key != "dp"}
    return zygote.run(TRAIN, procs, where, timeout=400, layout=axes, compile=True, steps=STEPS, **options, **more)


def follows(
    zygote: Zygote, plain: dict[str, Any], where: Path, layout: dict[str, Any], options: dict[str, Any], whole: bool
) -> None:
    reference = plain[options["family"]]
    results = compiled(zygote, where, layout, options)
    for result in results:
        assert_same_curve(reference, result)
        assert abs(result["eval"] - reference["eval"]) <= 1e-5 * reference["eval"]
        graphs, breaks = result["compiled"]
        assert graphs > 0, "nothing was compiled"
        if whole:
            assert breaks == 0 and graphs <= WHOLE
        else:
            assert breaks > 0  # a torch that traces them makes this test, and the page on layouts, out of date
    assert {n for result in results for n in result["names"]} == set(reference["names"])


@pytest.mark.parametrize(("layout", "options", "whole"), QUICK, ids=name)
def test_compiled_blocks_follow_the_plain_ones(
    zygote: Zygote, plain: dict[str, Any], tmp_path: Path, layout: dict[str, Any], options: dict[str, Any], whole: bool
) -> None:
    follows(zygote, plain, tmp_path / "case", layout, options, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "options", "whole"), SLOW, ids=name)
def test_compiled_blocks_follow_the_plain_ones_in_further_layouts(
    zygote: Zygote, plain: dict[str, Any], tmp_path: Path, layout: dict[str, Any], options: dict[str, Any], whole: bool
) -> None:
    follows(zygote, plain, tmp_path / "case", layout, options, whole)


def test_without_the_switch_nothing_is_compiled(plain: dict[str, Any]) -> None:
    assert all(result["compiled"] == [0, 0] for result in plain.values())


@pytest.mark.slow
def test_a_checkpoint_of_compiled_blocks_resumes_plain_ones_and_the_other_way_round(
    zygote: Zygote, plain: dict[str, Any], tmp_path: Path
) -> None:
    layout, run = {"tp": 1, "zero": 0}, {"family": "llama", "layout": {"tp": 1, "zero": 0}}
    half = STEPS // 2
    [result] = compiled(zygote, tmp_path / "a", layout, {"family": "llama"}, save=str(tmp_path / "compiled"))
    assert result["compiled"][0] > 0
    [more] = zygote.run(TRAIN, 1, tmp_path / "b", **run, steps=STEPS + half, load=str(tmp_path / "compiled"))
    zygote.run(TRAIN, 1, tmp_path / "c", **run, steps=half, save=str(tmp_path / "plain"))
    [resumed] = compiled(zygote, tmp_path / "d", layout, {"family": "llama"}, load=str(tmp_path / "plain"))
    [whole] = zygote.run(TRAIN, 1, tmp_path / "e", **run, steps=STEPS + half)
    assert_same_curve(whole, more, slice(STEPS, None))
    assert_same_curve(plain["llama"], resumed, slice(half, None))
