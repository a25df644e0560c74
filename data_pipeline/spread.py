"""How the values of a signal spread, in few numbers that can be added up over units.

A value falls into a bucket of about 6 % width: sixteen to each power of two, with buckets of their own for zero, negative
values and NaN. Counts are exact at the borders of buckets, so the documents that a threshold at such a border keeps are
known to the last one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

Spread = dict[str, int]
"""Documents by bucket: "nan", "neg", "zero", or the number of the bucket in decimal."""

_PARTS = 16
_TINY = 2.0**-40
"""Smaller values count as zero."""


def spread(values: np.ndarray) -> Spread:
    """values: float64 [documents]."""
    known = values[~np.isnan(values)]
    positive = known[known >= _TINY]
    mantissa, exponent = np.frexp(positive)
    # A mantissa is in [0.5, 1): sixteen equal parts of it.
    bucket = exponent.astype(np.int64) * _PARTS + np.minimum((mantissa * 2 - 1) * _PARTS, _PARTS - 1).astype(np.int64)
    numbers, counts = np.unique(bucket, return_counts=True)
    found = {str(number): int(count) for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)}
    rest = {"nan": len(values) - len(known), "neg": int((known < 0).sum()), "zero": int(((known >= 0) & (known < _TINY)).sum())}
    return {**{name: count for name, count in rest.items() if count}, **found}


def add(spreads: Iterable[Mapping[str, int]]) -> Spread:
    """The spread of all documents of several."""
    total: Spread = {}
    for found in spreads:
        for bucket, count in found.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def border(bucket: int) -> float:
    """The lowest value that falls into a bucket."""
    exponent, part = divmod(bucket, _PARTS)
    return math.ldexp(0.5 + part / (2 * _PARTS), exponent)


def below(found: Mapping[str, int]) -> list[tuple[float, int]]:
    """(border, documents with a value below it), by rising border: one for each bucket that holds any, and the one
    behind the last. Documents of which the signal says nothing count nowhere."""
    buckets = sorted(int(name) for name in found if name not in ("nan", "neg", "zero"))
    total = found.get("neg", 0)
    rows = [(0.0, total)]
    total += found.get("zero", 0)
    for place, bucket in enumerate(buckets):
        rows.append((border(bucket), total))
        total += found[str(bucket)]
        if place + 1 == len(buckets) or buckets[place + 1] != bucket + 1:
            rows.append((border(bucket + 1), total))
    return rows
