"""Counts by domain in bounded space: of each unit the domains with most documents one by one, the others in sum; and the
sum over units, in which a count is exact or a lower bound, and says which.

Of a unit: `{"listed": {domain: counts}, "others": {"domains": n, "counts": counts}}`, where counts are lists of integers
in an order of the caller's.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

LISTED = 1000
"""Domains of a unit that are counted one by one."""

MERGED = 200_000
"""Domains that a sum over units holds at most, about 60 MB."""


class Counter:
    """Counts the documents of one unit, batch by batch."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []

    def add(self, domains: pa.Array, *amounts: np.ndarray) -> None:
        """domains: strings [documents]. amounts: what to sum, [documents] each; the first decides which are listed."""
        coded = domains.dictionary_encode()
        codes, size = coded.indices.to_numpy(), len(coded.dictionary)
        sums = [np.bincount(codes, amount, size).astype(np.int64) for amount in amounts]
        self._parts.append(pa.table([coded.dictionary, *sums], names=["domain", *map(str, range(len(sums)))]))

    def as_json(self, listed: int = LISTED) -> dict[str, Any]:
        """The counts of the unit. Of domains with as many documents those first in the alphabet are listed."""
        if not self._parts:
            return {"listed": {}, "others": {"domains": 0, "counts": []}}
        names = self._parts[0].column_names[1:]
        whole = pa.concat_tables(self._parts).group_by("domain", use_threads=False)
        found = whole.aggregate([(name, "sum") for name in names])
        found = found.sort_by([("0_sum", "descending"), ("domain", "ascending")])
        head, rest = found.slice(0, listed), found.slice(listed)
        columns = [head[f"{name}_sum"].to_pylist() for name in names]
        others = [int(rest[f"{name}_sum"].to_numpy().sum()) for name in names]
        counts = map(list, zip(*columns, strict=True))
        return {
            "listed": dict(zip(head["domain"].to_pylist(), counts, strict=True)),
            "others": {"domains": rest.num_rows, "counts": others},
        }


@dataclass(frozen=True)
class DomainCount:
    """Sums of one domain. exact: else it has at least so many, and more in units that do not list it."""

    domain: str
    counts: list[int]
    exact: bool


class Sum:
    """The counts of many units. Beyond MERGED domains the half with fewest documents is counted in sum only."""

    def __init__(self, most: int = MERGED) -> None:
        self._most = most
        self._found: dict[str, list[int]] = {}
        self._seen: dict[str, int] = {}  # of the incomplete lists, how many name the domain
        self._incomplete = 0
        self._forgotten = 0
        self.totals: list[int] = []
        """Over all domains; exact."""

    def add(self, unit: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> None:
        """Adds a unit. more: further counts of the same domains, listed or not, which stand behind the others."""
        behind = more or {"listed": {}, "others": {"counts": []}}
        width = max(map(len, [*behind["listed"].values(), behind["others"]["counts"]]), default=0)
        incomplete = bool(unit["others"]["domains"])
        self._incomplete += incomplete
        for domain, counts in unit["listed"].items():
            row = [*counts, *behind["listed"].get(domain, [0] * width)]
            self._found[domain] = _plus(self._found.get(domain, []), row)
            if domain not in self._seen:
                # What was forgotten once may have been this domain.
                self._seen[domain] = -1 if self._forgotten else 0
            self._seen[domain] += incomplete
            self.totals = _plus(self.totals, row)
        self.totals = _plus(self.totals, [*unit["others"]["counts"], *(behind["others"]["counts"] or [0] * width)])
        if len(self._found) > self._most:
            self._forget()

    def top(self, number: int) -> list[DomainCount]:
        """The domains with most documents; those with as many in alphabetical order."""
        first = heapq.nsmallest(number, self._found.items(), key=lambda item: (-item[1][0], item[0]))
        return [DomainCount(name, counts, self._seen[name] == self._incomplete) for name, counts in first]

    def others(self, shown: Sequence[DomainCount]) -> list[int]:
        """The sums of all domains but those."""
        return [total - sum(row.counts[i] for row in shown) for i, total in enumerate(self.totals)]

    def _forget(self) -> None:
        largest = heapq.nsmallest(self._most // 2, self._found.items(), key=lambda item: (-item[1][0], item[0]))
        self._forgotten += len(self._found) - len(largest)
        self._found = dict(largest)
        self._seen = {name: self._seen[name] for name in self._found}


def _plus(one: list[int], other: Sequence[int]) -> list[int]:
    """Sums by place; the shorter counts as if it had zeros."""
    if len(one) < len(other):
        one = one + [0] * (len(other) - len(one))
    return [value + (other[i] if i < len(other) else 0) for i, value in enumerate(one)]
