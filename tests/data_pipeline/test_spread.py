"""Spreads add up, and are exact at their borders."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline import spread

VALUES = st.lists(
    st.floats(-2, 1e6, allow_nan=False) | st.just(math.nan) | st.sampled_from([0.0, 0.5, 1.0, 50.0, 1e-300])
)


@given(VALUES)
def test_every_document_is_in_one_bucket_and_counts_at_borders_are_exact(values: list[float]) -> None:
    found = spread.spread(np.array(values, np.float64))
    assert sum(found.values()) == len(values)
    for border, count in spread.below(found):
        assert count == sum(1 for value in values if value < border)


@given(VALUES, VALUES)
def test_the_sum_of_spreads_is_the_spread_of_all(a: list[float], b: list[float]) -> None:
    whole = spread.spread(np.array(a + b, np.float64))
    assert spread.add([spread.spread(np.array(part, np.float64)) for part in (a, b)]) == whole


@given(st.floats(1e-12, 1e300))
def test_a_bucket_is_narrow_and_holds_its_lowest_value(value: float) -> None:
    [bucket] = spread.spread(np.array([value]))
    low = spread.border(int(bucket))
    assert low <= value < spread.border(int(bucket) + 1) <= 1.07 * low
    assert spread.spread(np.array([low])) == {bucket: 1}
