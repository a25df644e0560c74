"""Which source each sample is drawn from: one period of 65,536 draws, repeated for ever.

The table is made by Tijdeman's algorithm (R. Tijdeman 1980, "The chairman assignment problem", Discrete Mathematics
32): after any number of draws each source has been drawn within one sample of its share, so no source comes in lumps
and any stretch of training sees the blend that was asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from configs.errors import Problem, UserError
from configs.suggest import nearest

PERIOD = 65_536


@dataclass(frozen=True)
class Blend:
    """A blend ready to draw from.

    sources: names, in the order of the table's entries. counts: draws of each in one period (they sum to PERIOD).
    table: uint16 [PERIOD], the source of each draw. rank: int64 [PERIOD], how often that source was drawn before it
    in this period.
    """

    sources: tuple[str, ...]
    counts: tuple[int, ...]
    table: np.ndarray
    rank: np.ndarray

    def draws(self, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(source index, draw of that source) of each sample number; int64, the shape of `sample`."""
        period, position = np.divmod(np.asarray(sample, dtype=np.int64), PERIOD)
        source = self.table[position].astype(np.int64)
        return source, period * np.asarray(self.counts, dtype=np.int64)[source] + self.rank[position]

    def weights(self) -> dict[str, float]:
        """The weights as drawn: k / 65,536."""
        return {name: count / PERIOD for name, count in zip(self.sources, self.counts, strict=True)}


def make_blend(weights: Mapping[str, float]) -> Blend:
    """The blend of these weights (> 0, by tokens; any scale). Entries of equal urgency go by name. Raises UserError."""
    names = tuple(sorted(weights))
    counts = round_weights({name: weights[name] for name in names})
    per_source = tuple(counts[name] for name in names)
    table = tijdeman(per_source)
    rank = np.empty(PERIOD, dtype=np.int64)
    for i, count in enumerate(per_source):
        rank[table == i] = np.arange(count)
    return Blend(names, per_source, table, rank)


def round_weights(weights: Mapping[str, float]) -> dict[str, int]:
    """Draws per period of each source: weight / sum x 65,536, rounded by largest remainder so that they sum to it.

    Equal remainders go to the name that sorts first. Raises UserError for weights that are not positive and finite, and
    for those that round to 0.
    """
    if not weights:
        raise UserError(Problem("the blend names no source", "data.blend"))
    bad = [name for name, w in weights.items() if not 0 < w < float("inf")]
    if bad:
        raise UserError(
            *(Problem(f"the blend weight of {n!r} is {weights[n]}, not a positive number", "data.blend") for n in bad)
        )
    exact = {name: Fraction(w) for name, w in weights.items()}
    total = sum(exact.values())
    share = {name: w * PERIOD / total for name, w in exact.items()}
    counts = {name: int(s) for name, s in share.items()}
    left = PERIOD - sum(counts.values())
    for name in sorted(share, key=lambda name: (counts[name] - share[name], name))[:left]:
        counts[name] += 1
    zero = [name for name, count in counts.items() if count == 0]
    if zero:
        raise UserError(
            *(
                Problem(
                    f"the blend weight of {name!r} is {float(exact[name] / total):.3g} of all, which rounds to 0/65536",
                    "data.blend",
                    f"give it at least {float(total / PERIOD):.3g} (1/65536 of the sum) or leave it out of data.blend",
                )
                for name in zero
            )
        )
    return counts


def tijdeman(counts: Sequence[int]) -> np.ndarray:
    """uint16 [PERIOD]: source i occurs counts[i] times, and at most 1 - 1/(2k-2) off its share in every prefix.

    With k sources, draw number x (from 0) of source i may come at the earliest at the n (from 1) where its share has
    reached x + 1/(2k-2), and must come while its share is at most x + 1 - 1/(2k-2). Always taking the released draw
    with the earliest deadline meets all of them (Tijdeman 1980, section 2). Integers only, so exact on every machine.
    """
    k = len(counts)
    if sum(counts) != PERIOD or min(counts) < 1:
        raise ValueError(f"counts must be positive and sum to {PERIOD}, got {list(counts)[:8]}")
    table = np.zeros(PERIOD, dtype=np.uint16)
    if k == 1:
        return table
    slack = 2 * k - 2
    releases, deadlines, sources = [], [], []
    for i, count in enumerate(counts):
        x = np.arange(count, dtype=np.int64)
        releases.append(-(-(PERIOD * (slack * x + 1)) // (slack * count)))  # ceiling
        deadlines.append(PERIOD * (slack * (x + 1) - 1) // (slack * count))
        sources.append(np.full(count, i, dtype=np.int64))
    release, deadline, source = (np.concatenate(parts) for parts in (releases, deadlines, sources))
    waiting = np.argsort(release, kind="stable")
    jobs = list(zip(release[waiting].tolist(), deadline[waiting].tolist(), source[waiting].tolist(), strict=True))
    ready: list[tuple[int, int]] = []
    taken = 0
    for n in range(1, PERIOD + 1):
        while taken < PERIOD and jobs[taken][0] <= n:
            heapq.heappush(ready, jobs[taken][1:])
            taken += 1
        table[n - 1] = heapq.heappop(ready)[1]
    return table


def check_names(blend: Mapping[str, float], known: Sequence[str]) -> list[Problem]:
    """A problem for every name of `blend` that the corpus does not have, with the nearest it has."""
    problems = []
    for name in blend:
        if name not in known:
            near = nearest(name, known, cutoff=0.5)
            hint = (f"did you mean {near[0]!r}? " if near else "") + f"it has: {', '.join(sorted(known))}"
            problems.append(Problem(f"the corpus has no source {name!r}", f"data.blend.{name}", hint))
    return problems
