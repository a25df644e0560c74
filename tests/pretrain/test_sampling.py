"""Draws follow the distribution that temperature, top-k and top-p define, worked out by hand for fixed logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.sampling import Sampling, choose, draws, probabilities

# Probabilities 0.1, 0.4, 0.05, 0.3, 0.15 at temperature 1, and a token that padding excludes.
GIVEN = np.array([0.1, 0.4, 0.05, 0.3, 0.15, 0.0])
with np.errstate(divide="ignore"):
    LOGITS = np.log(GIVEN) + 3.0

CASES = [
    (Sampling(1.0), GIVEN),
    (Sampling(0.5), GIVEN**2 / (GIVEN**2).sum()),
    (Sampling(1.0, top_k=1), [0, 1, 0, 0, 0, 0]),
    (Sampling(1.0, top_k=3), [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85, 0]),
    (Sampling(1.0, top_k=99), GIVEN),
    (Sampling(1.0, top_p=0.0), [0, 1, 0, 0, 0, 0]),
    (Sampling(1.0, top_p=0.39), [0, 1, 0, 0, 0, 0]),
    (Sampling(1.0, top_p=0.41), [0, 0.4 / 0.7, 0, 0.3 / 0.7, 0, 0]),
    (Sampling(1.0, top_p=0.8), [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85, 0]),
    # Of the three that top-k leaves (0.47, 0.35, 0.18), two hold 0.8.
    (Sampling(1.0, top_k=3, top_p=0.8), [0, 0.4 / 0.7, 0, 0.3 / 0.7, 0, 0]),
    (Sampling(0.0, top_k=3, top_p=0.8), [0, 1, 0, 0, 0, 0]),
]


@pytest.mark.parametrize(("sampling", "expected"), CASES, ids=lambda v: str(v) if isinstance(v, Sampling) else "")
def test_probabilities_are_those_worked_out_by_hand(sampling: Sampling, expected: list[float]) -> None:
    np.testing.assert_allclose(probabilities(LOGITS, sampling), expected, atol=1e-12)


@pytest.mark.parametrize(("sampling", "expected"), CASES, ids=lambda v: str(v) if isinstance(v, Sampling) else "")
def test_draws_are_as_frequent_as_their_probabilities(sampling: Sampling, expected: list[float]) -> None:
    chance = draws(5, 0)
    share = np.bincount([choose(LOGITS, sampling, chance) for _ in range(4000)], minlength=6) / 4000
    assert np.all(share[np.array(expected) == 0] == 0), "what was cut off is never drawn"
    # Three standard errors of a share of 4,000 draws are at most 0.024.
    assert np.abs(share - expected).max() < 0.024


def test_of_equally_likely_tokens_the_lower_ids_stay() -> None:
    assert probabilities(np.zeros(6), Sampling(1.0, top_k=2)).tolist() == [0.5, 0.5, 0, 0, 0, 0]
    assert probabilities(np.zeros(4), Sampling(1.0, top_p=0.5)).tolist() == [0.5, 0.5, 0, 0]


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40),
    st.floats(0, 10),
    st.integers(0, 50),
    st.floats(0, 1),
)
def test_any_logits_leave_a_distribution_that_holds_the_most_likely(
    logits: list[float], temperature: float, top_k: int, top_p: float
) -> None:
    given_ = np.array(logits)
    found = probabilities(given_, Sampling(temperature, top_k, top_p))
    assert found.min() >= 0 and found.sum() == pytest.approx(1)
    assert found[int(given_.argmax())] == found.max() > 0
    if top_k:
        assert np.count_nonzero(found) <= top_k


def test_the_texts_of_a_seed_differ_and_do_not_depend_on_how_many_are_drawn() -> None:
    assert draws(7, 0).random(4).tolist() == draws(7, 0).random(4).tolist()
    first = {tuple(draws(seed, number).random(4)) for seed in range(20) for number in range(20)}
    assert len(first) == 400
