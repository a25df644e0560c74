"""The learning rate is a function of the step alone."""

from __future__ import annotations

import itertools

import pytest

from configs.schema.train import Schedule
from pretrain.optimizer import learning_rate


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [learning_rate(step, 1.0, schedule, steps) for step in range(1, steps + 1)]


def test_warm_up_is_linear_to_the_peak_and_the_cosine_ends_at_its_floor() -> None:
    found = rates(Schedule(warmup_steps=10, min_lr_ratio=0.1), 110)
    assert found[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert max(found) == 1.0 == found[9]
    assert found[59] == pytest.approx(0.55)  # half way down: (1 + 0.1) / 2
    assert found[-1] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(found[9:]))


def test_constant_stays_at_the_peak_and_no_warm_up_starts_there() -> None:
    assert rates(Schedule(name="constant", warmup_steps=2), 5) == [0.5, 1, 1, 1, 1]
    assert learning_rate(1, 3e-4, Schedule(name="constant"), 5) == 3e-4


def test_beyond_the_horizon_the_rate_stays_at_the_floor() -> None:
    assert learning_rate(500, 1.0, Schedule(min_lr_ratio=0.2), 100) == pytest.approx(0.2)
