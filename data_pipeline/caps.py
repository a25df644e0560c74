"""Caps on groups of documents: of a group that exceeds its limit the documents of smallest lot stay.

In ascending order of lots a group's documents stay until the first one whose weight would exceed the limit; its lot is
the group's bar, and whatever has that lot or a larger one goes. So the result does not depend on the order of documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

ROWS_AT_ONCE = 1_000_000
"""Rows that are gathered before sums are drawn or what cannot stay is thrown away."""


@dataclass(frozen=True)
class Part:
    """Some documents. codes: place of each one's group in `names`, int [documents]. weights: int64 [documents].
    lots: uint64 of the rows asked for."""

    codes: np.ndarray
    names: Sequence[str]
    weights: np.ndarray
    lots: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Bars:
    """The bars of the groups that exceed their limits, by name."""

    by_name: dict[str, int]

    def refuses(self, part: Part) -> np.ndarray:
        """bool [documents]: beyond the bar of its group."""
        barred = np.array([name in self.by_name for name in part.names], bool)
        gone = np.zeros(len(part.codes), bool)
        rows = np.flatnonzero(barred[part.codes]) if len(barred) else np.empty(0, np.int64)
        if len(rows):
            bars = np.array([self.by_name.get(name, 0) for name in part.names], np.uint64)
            gone[rows] = part.lots(rows) >= bars[part.codes[rows]]
        return gone


def find_bars(parts: Callable[[], Iterator[Part]], limit: Callable[[str], int | None]) -> Bars:
    """The bars of all groups. parts: all documents, from the start at each call. limit: of the group's weights; None: no
    cap.

    Memory: the sum of each group with a cap, then 24 bytes for each document that may stay of groups that exceed theirs.
    """
    totals = _Totals()
    for part in parts():
        sums = np.bincount(part.codes, part.weights, len(part.names)).astype(np.int64)
        capped = np.array([limit(name) is not None for name in part.names], bool)
        totals.add([name for name, mine in zip(part.names, capped, strict=True) if mine], sums[capped])
    limits = {name: most for name, total in totals.result() if (most := limit(name)) is not None and total > most}
    if not limits:
        return Bars({})
    names = sorted(limits)
    places = {name: place for place, name in enumerate(names)}
    pool = _Pool(np.array([limits[name] for name in names], np.int64))
    for part in parts():
        groups = np.array([places.get(name, -1) for name in part.names], np.int64)
        mine = groups[part.codes] if len(groups) else np.empty(0, np.int64)
        rows = np.flatnonzero(mine >= 0)
        if len(rows):
            pool.add(mine[rows], part.lots(rows), part.weights[rows])
    return Bars(dict(zip(names, pool.bars().tolist(), strict=True)))


class _Totals:
    """Sums by name, exact."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._rows = self._after = 0

    def add(self, names: Sequence[str], sums: np.ndarray) -> None:
        self._parts.append(pa.table({"name": pa.array(names, pa.string()), "sum": sums}))
        self._rows += len(names)
        if self._rows > 2 * self._after + ROWS_AT_ONCE:
            self._merge()

    def result(self) -> Iterator[tuple[str, int]]:
        self._merge()
        for batch in self._parts[0].to_batches(65_536) if self._parts else []:
            yield from zip(batch["name"].to_pylist(), batch["sum"].to_pylist(), strict=True)

    def _merge(self) -> None:
        if self._parts:
            found = pa.concat_tables(self._parts).group_by("name", use_threads=False).aggregate([("sum", "sum")])
            self._parts = [found.select(["name", "sum_sum"]).rename_columns(["name", "sum"])]
            self._rows = self._after = found.num_rows


class _Pool:
    """Of each group the documents of smallest lot, up to the first beyond its limit."""

    def __init__(self, limits: np.ndarray) -> None:
        self._limits = limits
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._rows = self._after = 0

    def add(self, groups: np.ndarray, lots: np.ndarray, weights: np.ndarray) -> None:
        self._parts.append((groups, lots, weights))
        self._rows += len(groups)
        if self._rows > 2 * self._after + ROWS_AT_ONCE:
            self._cut()

    def bars(self) -> np.ndarray:
        """uint64 [groups]. Every group must exceed its limit."""
        self._cut()
        groups, lots, _ = self._parts[0]
        last = np.searchsorted(groups, np.arange(len(self._limits)), side="right") - 1
        return lots[last]

    def _cut(self) -> None:
        groups, lots, weights = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        order = np.lexsort((lots, groups))
        groups, lots, weights = groups[order], lots[order], weights[order]
        before = np.cumsum(weights) - weights  # of this row, through all groups
        first = np.searchsorted(groups, groups, side="left")
        # The first row beyond the limit stays here, for it is the bar: what comes later may not stand behind it.
        stay = before - before[first] <= self._limits[groups]
        self._parts = [(groups[stay], lots[stay], weights[stay])]
        self._rows = self._after = int(np.count_nonzero(stay))
