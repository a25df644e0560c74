"""The order of samples inside one epoch of one source: a keyed bijection, so there is no index to build or to store.

A Feistel network of 4 rounds (Luby & Rackoff 1988, "How to construct pseudorandom permutations from pseudorandom
functions") permutes the integers of 2h bits, the smallest even number of bits, at least 8, that holds n. Values that
fall outside [0, n) are encrypted again until they fall inside ("cycle-walking", Black & Rogaway 2002, "Ciphers with
arbitrary finite domains"): still a bijection, and fewer than 4 passes on average, since the domain is below 4n (for n
under 64 it is the 256 that keep tiny sources from a visible bias).

The values are part of the format of a run: changing them changes what a resumed run reads. Golden values are tested.
"""

from __future__ import annotations

import numpy as np
import xxhash

ROUNDS = 4
MIN_HALF_BITS = 4

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def round_keys(seed: int, source: str, epoch: int) -> list[int]:
    """The `ROUNDS` keys of 64 bits of one epoch: xxh3-64 of `seed NUL source NUL epoch NUL round` (decimal, UTF-8)."""
    return [xxhash.xxh3_64_intdigest(f"{seed}\0{source}\0{epoch}\0{r}".encode()) for r in range(ROUNDS)]


def permute(index: np.ndarray, n: int, seed: int, source: str, epoch: np.ndarray) -> np.ndarray:
    """Where draw `index` of `epoch` reads: int64 in [0, n), a bijection of [0, n) for each (seed, source, epoch).

    index: integers in [0, n), any shape. n: samples of the source per epoch, >= 1. epoch: integers >= 0, same shape.
    Time and memory per value do not depend on n.
    """
    index = np.asarray(index, dtype=np.int64)
    epoch = np.broadcast_to(np.asarray(epoch, dtype=np.int64), index.shape)
    if n < 1:
        raise ValueError(f"a permutation needs n >= 1, got {n}")
    if index.size and (int(index.min()) < 0 or int(index.max()) >= n):
        raise ValueError(f"indices must lie in [0, {n}), got [{int(index.min())}, {int(index.max())}]")
    if n == 1 or index.size == 0:
        return np.zeros(index.shape, dtype=np.int64)

    half = max(MIN_HALF_BITS, ((n - 1).bit_length() + 1) // 2)
    epochs, which = np.unique(epoch, return_inverse=True)
    table = np.array([round_keys(seed, source, int(e)) for e in epochs], dtype=np.uint64)  # [epochs, ROUNDS]
    keys = table[which.reshape(-1)]

    value = index.reshape(-1).astype(np.uint64)
    value = _feistel(value, keys, half)
    outside = np.flatnonzero(value >= np.uint64(n))
    while outside.size:
        value[outside] = _feistel(value[outside], keys[outside], half)
        outside = outside[value[outside] >= np.uint64(n)]
    return value.astype(np.int64).reshape(index.shape)


def _feistel(value: np.ndarray, keys: np.ndarray, half: int) -> np.ndarray:
    """One pass over integers of 2 x half bits. value: uint64 [m]; keys: uint64 [m, ROUNDS]."""
    bits, mask, top = np.uint64(half), np.uint64((1 << half) - 1), np.uint64(64 - half)
    left, right = value >> bits, value & mask
    for r in range(ROUNDS):
        left, right = right, left ^ (_mix(right + keys[:, r]) >> top)
    return (left << bits) | right


def _mix(x: np.ndarray) -> np.ndarray:
    """One step of SplitMix64 (Steele, Lea & Flood 2014, figure 14) on uint64, modulo 2^64."""
    x = x + np.uint64(_GOLDEN_GAMMA)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
