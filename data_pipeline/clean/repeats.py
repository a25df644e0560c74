"""Which items of a sequence occur again: 64-bit hashes in an open table, in time linear in the number of items.

Two different items share a hash with probability 2^-64 for each pair: for 100,000 words of one document 3e-10. An item
that finds no place within `_PROBES` steps counts as one that occurs once; without an adversary that takes a cluster of
256 in a table at most half full, and with one it keeps the time linear.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.kernel import kernel

RULE_VERSION = 1

_PROBES = 256
_ODD = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD6E8FEB86659FD93)


@kernel
def clear(table, items):  # type: ignore[no-untyped-def]
    """Empties as much of the table as `items` need at half load; returns the shift that brings a hash to a place."""
    bits = 4
    while (1 << bits) < 2 * items:
        bits += 1
    table[: 1 << bits] = -1
    return 64 - bits


@kernel
def place(table, shift, hashes, item):  # type: ignore[no-untyped-def]
    """Enters item (an index into hashes); returns the first item entered with an equal hash (itself, if it is the
    first), and the steps it took."""
    h = hashes[item]
    mask = (np.int64(1) << np.int64(64 - shift)) - 1
    at = np.int64((h * _ODD) >> np.uint64(shift))
    for step in range(_PROBES):
        there = table[at]
        if there < 0:
            table[at] = item
            return item, step + 1
        if hashes[there] == h:
            return there, step + 1
        at = (at + 1) & mask
    return item, _PROBES


@kernel
def duplicates(hashes, sizes, items, table):  # type: ignore[no-untyped-def]
    """Items that occurred before, their summed sizes, and the steps taken."""
    shift = clear(table, items)
    steps = np.int64(0)
    again = 0
    size = 0
    for item in range(items):
        first, took = place(table, shift, hashes, item)
        steps += took
        if first != item:
            again += 1
            size += sizes[item]
    return again, size, steps


@kernel
def ngrams(words, count, scale, ends, blanks, grams, table, first, times, mark, candidates, out):  # type: ignore[no-untyped-def]
    """Characters in the most frequent n-gram (n = 2, 3, 4) and in repeated n-grams (n = 5 to 10).

    words: hashes. scale: words of the text that make one word of the paper: 1, or, where each character is one, how many
    a word takes; an n-gram has n times as many. ends: characters of the words before the i-th. blanks: of the words
    before the i-th, those with a blank before them. out: float64 [9], n = 2 to 10. The rest is room of `count` items and
    a table. Returns steps.

    An n-gram can only occur twice if both (n-1)-grams inside it do: only those positions are entered, so that ordinary
    text costs little more than its 2-grams. Of equally frequent n-grams the one that comes first is taken. Repeated
    n-grams are counted from left to right, and what one covers is skipped (Rae et al. 2021, A.1.1: "characters within
    overlapping n-grams are not counted more than once").
    """
    steps = np.int64(0)
    out[:9] = 0.0
    entered = max(0, count - 1)
    for i in range(entered):
        grams[i] = words[i]
        candidates[i] = i
    mark[:count] = 0
    for n in range(2, 10 * scale + 1):
        if n > 2:
            kept = 0
            for k in range(entered):
                i = candidates[k]
                if i + n <= count and mark[i] >= n - 1 and mark[i + 1] >= n - 1:
                    candidates[kept] = i
                    kept += 1
            entered = kept
        shift = clear(table, entered)
        for k in range(entered):
            i = candidates[k]
            grams[i] = grams[i] * _STEP + words[i + n - 1]
            times[i] = 0
            first[i], took = place(table, shift, grams, i)
            times[first[i]] += 1
            steps += took
        order = n // scale if n % scale == 0 else 0
        best = -1
        most = 1
        for k in range(entered):
            i = candidates[k]
            f = first[i]
            if times[f] > 1:
                mark[i] = n
                if f == i and times[i] > most:
                    most = times[i]
                    best = i
        if 2 <= order <= 4:
            if best < 0 and count >= n:
                best = 0
            if best >= 0:
                span = ends[best + n] - ends[best] + blanks[best + n] - blanks[best + 1]
                out[order - 2] = span * most
        elif order > 4:
            covered = 0
            skip = 0
            for k in range(entered):
                i = candidates[k]
                f = first[i]
                if i < skip or times[f] == 1:
                    continue
                if times[f] > 1:
                    times[f] = -times[f]  # met, not yet again
                else:
                    covered += ends[i + n] - ends[i]
                    skip = i + n
            out[order - 2] = covered
    return steps
