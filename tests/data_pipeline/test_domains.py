"""Registered domains of addresses, and their counts in bounded space."""

from __future__ import annotations

from collections import Counter as Plain

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.clean.domains import domain, registered
from data_pipeline.domain_counts import Counter, Sum
from tests.data_pipeline import steps

# Most cases are those of publicsuffix.org/list/test_psl.txt, as addresses.
CASES = {
    "https://example.com/x": "example.com",
    "http://b.example.com": "example.com",
    "http://WWW.Example.COM:8080/?q": "example.com",
    "a.b.example.uk.com": "example.uk.com",
    "http://test.ac": "test.ac",
    "https://a.b.c.mm/": "b.c.mm",
    "http://www.test.k12.ak.us": "test.k12.ak.us",
    "http://www.city.kobe.jp": "city.kobe.jp",
    "http://a.b.c.kobe.jp": "b.c.kobe.jp",
    "http://www.食狮.公司.cn/": "xn--85x722f.xn--55qx5d.cn",
    "http://www.xn--85x722f.xn--55qx5d.cn/": "xn--85x722f.xn--55qx5d.cn",
    "https://anna.github.io/blog": "anna.github.io",
    "https://github.io/": "github.io",
    "https://co.uk": "co.uk",
    "http://user:secret@news.bbc.co.uk./": "bbc.co.uk",
    "http://192.0.2.7:80/": "192.0.2.7",
    "http://[2001:db8::1]/": "2001:db8::1",
    "http://localhost/": "localhost",
    "https://a.unlisted": "a.unlisted",
    "": "",
    "/only/a/path": "",
    f"http://{'a' * 254}.com/": "",
}


@pytest.mark.parametrize(("url", "expected"), CASES.items())
def test_an_address_has_the_domain_that_its_owner_registered(url: str, expected: str) -> None:
    assert domain(url) == expected


@given(st.text())
def test_any_text_has_a_domain_and_that_is_its_own(url: str) -> None:
    found = domain(url)
    assert len(found) <= 253 and registered(found) == found
    found.encode()  # no half of a surrogate pair: it goes into a column


def test_ten_times_longer_addresses_take_ten_times_as_long_at_most() -> None:
    for url in ("http://" + "a." * 2000, "a:b@" * 1000, "http://" + "1" * 3000, "%61." * 1000):
        registered.cache_clear()
        short = steps.count(domain, url)
        registered.cache_clear()
        assert steps.count(domain, url * 10) <= 13 * short


Units = st.lists(st.lists(st.sampled_from([f"d{i}" for i in range(12)]), max_size=30), max_size=6)


@given(Units, st.integers(1, 12), st.integers(2, 12))
def test_counts_are_exact_or_lower_bounds_and_say_which(units: list[list[str]], listed: int, most: int) -> None:
    whole, summed = Plain(d for unit in units for d in unit), Sum(most)
    for unit in units:
        counter = Counter()
        for start in range(0, len(unit), 7):
            some = unit[start : start + 7]
            counter.add(pa.array(some), np.ones(len(some)), np.full(len(some), 5))
        found = counter.as_json(listed)
        plain = sorted(Plain(unit).items(), key=lambda item: (-item[1], item[0]))
        assert found["listed"] == {name: [number, 5 * number] for name, number in plain[:listed]}
        assert found["others"]["domains"] == len(plain[listed:])
        summed.add(found)
    for row in summed.top(12):
        assert row.counts[1] == 5 * row.counts[0] <= 5 * whole[row.domain]
        if row.exact:
            assert row.counts[0] == whole[row.domain]
    if listed == 12 == most:
        assert [row.domain for row in summed.top(12)] == sorted(whole, key=lambda name: (-whole[name], name))
        assert all(row.exact for row in summed.top(12))
    if whole:
        assert summed.totals == [whole.total(), 5 * whole.total()]


def test_what_was_counted_later_stands_beside_what_was_counted_first() -> None:
    first = Counter()
    first.add(pa.array(["a", "a", "b", "c"]), np.ones(4))
    summed = Sum()
    summed.add(first.as_json(2), {"listed": {"a": [1]}, "others": {"domains": 1, "counts": [1]}})
    summed.add(first.as_json(2))
    assert [(row.domain, row.counts, row.exact) for row in summed.top(3)] == [("a", [4, 1], True), ("b", [2, 0], True)]
    assert summed.totals == [8, 2]
