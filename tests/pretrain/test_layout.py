"""Everything that must divide is checked before anything starts, with the nearest values that work."""

from __future__ import annotations

from typing import Any

import pytest

from configs.schema.tree import Config
from pretrain.parallel.layout import problems, resolve

MODEL = {"num_layers": 2, "hidden_size": 64, "num_heads": 4}


def config(**sections: dict[str, Any]) -> Config:
    train = {"global_batch": 8, "micro_batch": 2, "seq_length": 32, "steps": 10, **sections.pop("train", {})}
    model = {**MODEL, **sections.pop("model", {})}
    return Config.model_validate({"model": model, "train": train, **sections})


@pytest.mark.parametrize(
    ("procs", "sections", "what", "hint"),
    [
        (3, {"layout": {"tp": 2}}, "3 processes", "start 2, 4"),
        (3, {"layout": {"tp": 3}, "train": {"seq_length": 33}, "model": {"ffn_hidden_size": 258}},
         "model.num_heads 4 is not divisible by layout.tp 3", "layout.tp may be 1; or model.num_heads 3, 6"),
        (2, {"train": {"global_batch": 6}}, "dp x micro_batch = 2 x 2", "4, 8"),
        (2, {"layout": {"tp": 2}, "train": {"seq_length": 31}}, "train.seq_length 31", "30, 32"),
        (1, {"model": {"num_heads": 5}}, "model.hidden_size 64 is not divisible by model.num_heads 5", "4"),
        (1, {"model": {"num_kv_heads": 3}}, "model.num_heads 4 is not divisible by model.num_kv_heads 3", "2, 4"),
        (2, {"layout": {"tp": 2}, "model": {"num_kv_heads": 1}}, "model.num_kv_heads 1", "1"),
        (2, {"layout": {"tp": 2}, "model": {"ffn_hidden_size": 129}}, "model.ffn_hidden_size 129", "128, 130"),
        (1, {"train": {"stop_after": 11}}, "train.stop_after 11", "10"),
        (1, {"schedule": {"warmup_steps": 10}}, "schedule.warmup_steps 10", "9"),
        (1, {"model": {"max_positions": 16}}, "longer than model.max_positions 16", "16"),
        (1, {"model": {"position": "rope", "head_dim": 15}}, "even head_dim", "16"),
    ],
)  # fmt: skip
def test_a_size_that_does_not_fit_is_named_with_values_that_do(
    procs: int, sections: dict[str, Any], what: str, hint: str
) -> None:
    [found] = problems(config(**sections), procs)
    assert what in found.what
    assert hint in found.hint
    assert found.where


def test_all_problems_come_at_once() -> None:
    bad = config(layout={"tp": 3}, train={"global_batch": 7, "stop_after": 99})
    found = problems(bad, 4)
    assert [p.where for p in found] == ["layout.tp", "train.global_batch", "train.stop_after", "layout.tp"]
    *_, divisors = found
    for name in ("model.num_heads 4", "model.ffn_hidden_size 256", "train.seq_length 32"):
        assert name in divisors.what
    assert divisors.hint == "layout.tp may be 1, 2, 4", "what suits all of them"


def test_a_hint_works_when_followed() -> None:
    [found] = problems(config(train={"global_batch": 6}), 2)
    values = [int(v) for v in found.hint.split(";")[0].removeprefix("train.global_batch may be ").split(", ")]
    assert values
    for value in values:
        assert not problems(config(train={"global_batch": value}), 2)


@pytest.mark.parametrize(
    ("procs", "layout", "precision", "zero"),
    [
        (1, {"zero": 1}, "fp32", 0),
        (2, {"zero": 1}, "fp32", 1),
        (2, {"zero": 0}, "fp32", 0),
        (1, {"zero": 0}, "bf16", 1),
    ],
)
def test_the_zero_stage_in_effect_is_recorded_beside_the_one_asked_for(
    procs: int, layout: dict[str, Any], precision: str, zero: int
) -> None:
    found = resolve(config(layout=layout, train={"precision": precision}), procs)
    assert (found.zero, found.zero_requested, found.dp) == (zero, layout["zero"], procs)
    assert found.world_size == procs
    assert found.accumulation * found.micro_batch * found.dp == 8
