"""The blend keeps every source within one sample of its share, and says what it cannot do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from pretrain.data.blend import PERIOD, check_names, make_blend, round_weights, tijdeman


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40))
def test_over_any_prefix_each_source_is_within_one_sample_of_its_share(weights):
    blend = make_blend({f"s{i:02d}": w for i, w in enumerate(weights)})
    prefix = np.arange(1, PERIOD + 1)
    for i, count in enumerate(blend.counts):
        drawn = np.cumsum(blend.table == i)
        assert drawn[-1] == count
        assert np.abs(drawn * PERIOD - count * prefix).max() < PERIOD


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.floats(1e-2, 1e6), min_size=1, max_size=20))
def test_weights_are_rounded_to_65536ths_that_sum_to_one(weights):
    total = sum(weights.values())
    try:
        counts = round_weights(weights)
    except UserError:
        assert min(weights.values()) / total < 1 / PERIOD
        return
    assert sum(counts.values()) == PERIOD
    for name, weight in weights.items():
        assert counts[name] == pytest.approx(weight / total * PERIOD, abs=1)


def test_golden_tables_hold():
    blend = make_blend({"web": 5, "books": 3, "code": 2})
    assert blend.sources == ("books", "code", "web")
    assert blend.counts == (19661, 13107, 32768)
    assert blend.table[:20].tolist() == [2, 0, 1, 2, 0, 2, 2, 1, 0, 2, 2, 0, 1, 2, 0, 2, 2, 1, 0, 2]


def test_the_order_in_which_weights_are_written_does_not_matter():
    one = make_blend({"web": 0.5, "books": 0.3, "code": 0.2})
    other = make_blend({"code": 0.2, "web": 0.5, "books": 0.3})
    assert one.sources == other.sources
    assert np.array_equal(one.table, other.table)


def test_draws_of_a_source_are_numbered_without_a_gap_across_periods():
    blend = make_blend({"a": 2, "b": 1})
    source, draw = blend.draws(np.arange(3 * PERIOD))
    for i in range(2):
        mine = draw[source == i]
        assert np.array_equal(mine, np.arange(mine.size))


def test_one_source_takes_every_draw():
    source, draw = make_blend({"only": 0.1}).draws(np.array([0, 1, PERIOD, 5 * PERIOD + 3]))
    assert source.tolist() == [0, 0, 0, 0]
    assert draw.tolist() == [0, 1, PERIOD, 5 * PERIOD + 3]


def test_a_weight_that_rounds_to_zero_is_refused_with_the_least_that_works():
    with pytest.raises(UserError) as caught:
        make_blend({"web": 1.0, "tiny": 1e-7, "small": 1e-7})
    assert len(caught.value.problems) == 2
    assert "'small'" in caught.value.problems[0].what and "rounds to 0" in caught.value.problems[0].what
    assert "1.53e-05" in caught.value.problems[0].hint


def test_weights_that_are_no_positive_numbers_are_all_named():
    with pytest.raises(UserError) as caught:
        round_weights({"a": 0.0, "b": float("nan"), "c": 1.0, "d": float("inf"), "e": -2.0})
    assert [p.what.split("'")[1] for p in caught.value.problems] == ["a", "b", "d", "e"]
    with pytest.raises(UserError, match="names no source"):
        round_weights({})


def test_an_unknown_source_is_named_with_its_nearest():
    problems = check_names({"wikipdia": 1, "web": 1, "zzz": 1}, ["wikipedia", "web"])
    assert [p.where for p in problems] == ["data.blend.wikipdia", "data.blend.zzz"]
    assert "did you mean 'wikipedia'?" in problems[0].hint
    assert "wikipedia" in problems[1].hint and "did you mean" not in problems[1].hint


def test_counts_that_do_not_fill_the_period_are_refused():
    with pytest.raises(ValueError, match="sum to 65536"):
        tijdeman([PERIOD - 1])
