"""Edges between documents of equal normalised text.

Documents are numbered through all units, in unit order; an edge joins a document to the first one of equal content.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_pipeline.columns import column

REASON = "exact_duplicate"

ROWS_PER_PASS = 20_000_000
"""Hashes sorted at a time (about 1 GB). Beyond it the hash range is cut and the signatures are read once per part, so
memory does not grow with the corpus."""


def edges(paths: Sequence[Path], counts: Sequence[int], rows_per_pass: int = ROWS_PER_PASS) -> np.ndarray:
    """int64 [edges, 2], rows (first, later): every document whose content hash occurred before, in any unit.

    paths: the signature files in unit order. counts: their rows. Sorted by `later`, whatever the number of passes.
    """
    passes = max(1, -(-sum(counts) // rows_per_pass))
    found = [_pass(paths, counts, index, passes) for index in range(passes)]
    result = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    return result[np.argsort(result[:, 1], kind="stable")]


def _pass(paths: Sequence[Path], counts: Sequence[int], index: int, passes: int) -> np.ndarray:
    high, low, number = [], [], []
    start = 0
    for path, count in zip(paths, counts, strict=True):
        words = column(path, "content").view(">u8").astype(np.uint64)
        # The part of the range that a hash falls into: its upper 32 bits scaled to `passes`.
        mine = (words[:, 0] >> np.uint64(32)) * np.uint64(passes) >> np.uint64(32) == index
        high.append(words[mine, 0])
        low.append(words[mine, 1])
        number.append(np.flatnonzero(mine) + start)
        start += count
    if not number:
        return np.empty((0, 2), np.int64)
    h, l, n = np.concatenate(high), np.concatenate(low), np.concatenate(number).astype(np.int64)  # noqa: E741
    order = np.lexsort((n, l, h))
    h, l, n = h[order], l[order], n[order]  # noqa: E741
    same = np.zeros(len(n), bool)
    same[1:] = (h[1:] == h[:-1]) & (l[1:] == l[:-1])
    # The first row of the group that each row belongs to; within a group numbers ascend.
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(n))))
    return np.stack([n[first[same]], n[same]], axis=1)
