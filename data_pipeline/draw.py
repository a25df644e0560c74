"""What is drawn by lot: a number for each document that depends on the seed and the document alone.

Whatever the number of workers, the order of files or what other documents there are, a document's lot is the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xxhash

from configs.schema.data import Split

_RANGE = 2**64


def lot(seed: int, key: bytes) -> int:
    """xxh3-64 of `key`, seeded: 0 to 2**64 - 1. Of ids: order in a shard, tokenizer sample. Of contents: split."""
    return xxhash.xxh3_64_intdigest(key, seed=seed % _RANGE)


def lots(seed: int, keys: Iterable[bytes]) -> np.ndarray:
    """`lot` of each key, uint64 [keys]."""
    seed %= _RANGE
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(key, seed=seed) for key in keys), np.uint64)


def split_of(seed: int, content: bytes, shares: Split) -> str:
    """The split of a document: "train", "validation" or "test".

    content: content hash of the document that was kept of its cluster, so that copies never cross splits. Its lot as a
    fraction u of 2**64: test if u < test, else validation if u < test + validation, else train.
    """
    u = lot(seed, content) / _RANGE
    if u < shares.test:
        return "test"
    if u < shares.test + shares.validation:
        return "validation"
    return "train"
