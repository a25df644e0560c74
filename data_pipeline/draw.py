"""What is drawn by lot: a number for each document that depends on the seed and the document alone.

Whatever the number of workers, the order of files or what other documents there are, a document's lot is the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xxhash

_RANGE = 2**64


def lots(seed: int, keys: Iterable[bytes]) -> np.ndarray:
    """uint64 [keys]: xxh3-64 of each key, seeded with `seed` modulo 2**64.

    Of ids: the order in a shard, the tokenizer's sample. Of contents: the split.
    """
    seed %= _RANGE
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(key, seed=seed) for key in keys), np.uint64)


def copy_lots(lot: np.ndarray, number: int) -> np.ndarray:
    """uint64 [lots]: of copy `number` of documents whose own lots are these: xxh3-64 of the lot's eight bytes (little
    endian), seeded with the number. Copy 0 is the document itself."""
    return lot if not number else lots(number, (row.tobytes() for row in lot.astype("<u8")))


def fractions(seed: int, keys: Iterable[bytes]) -> np.ndarray:
    """float64 [keys], from 0 (included) to 1: the lots over 2**64."""
    return lots(seed, keys).astype(np.float64) / float(_RANGE)
