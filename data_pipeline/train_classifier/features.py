"""What a classifier sees of a text: words, word n-grams and character n-grams, numbered as fastText numbers them.

Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification", sections 2.1 and 2.2: n-grams share a fixed
number of rows by hashing.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_pipeline.clean.fasttext_format import LABEL_PREFIX
from data_pipeline.kernel import kernel

END = b"</s>"
"""Stands at the end of every text, as fastText puts it."""
_WRAPPED_END = np.frombuffer(b"<%b>" % END, np.uint8)


@dataclass(frozen=True)
class Tokens:
    """Texts as numbers. names: the different tokens by number, END first. ids: int32 [tokens], text after text.
    starts: int64 [texts + 1], where each text begins in `ids`."""

    names: list[bytes]
    ids: np.ndarray
    starts: np.ndarray


def number(texts: Iterable[bytes]) -> Tokens:
    """Cuts each prepared text at ASCII blanks. Tokens that look like labels are left out, as fastText does."""
    numbers: defaultdict[bytes, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    end = numbers[END]
    ids, starts = array("i"), array("q", [0])
    prefix = LABEL_PREFIX.encode()
    for text in texts:
        tokens = text.split()
        if prefix in text:
            tokens = [token for token in tokens if not token.startswith(prefix)]
        ids.extend(map(numbers.__getitem__, tokens))
        ids.append(end)
        starts.append(len(ids))
    return Tokens(list(numbers), np.frombuffer(ids, np.int32), np.frombuffer(starts, np.int64))


@dataclass(frozen=True)
class Dictionary:
    """The rows that tokens stand for. words: (token, count) by row. row: int32 [names], -1 for tokens without one.
    hashes: int32 [names]. subwords, subword_starts: rows of the character n-grams of each name. buckets: rows for
    n-grams, behind the words'."""

    words: list[tuple[bytes, int]]
    row: np.ndarray
    hashes: np.ndarray
    subwords: np.ndarray
    subword_starts: np.ndarray
    ngrams: int
    buckets: int

    @property
    def rows(self) -> int:
        return len(self.words) + self.buckets


def dictionary(
    tokens: Tokens, texts: np.ndarray, min_count: int, ngrams: int, buckets: int, min_n: int, max_n: int
) -> Dictionary:
    """Of the tokens that occur `min_count` times in the texts numbered `texts`, the most frequent first. buckets 0:
    chosen here, a power of two up to 2,097,152 that gives each n-gram of these texts a row of its own where it can."""
    lengths = np.diff(tokens.starts)
    chosen = np.zeros(len(lengths), np.bool_)
    chosen[texts] = True
    counts = np.bincount(tokens.ids[np.repeat(chosen, lengths)], minlength=len(tokens.names))
    occurrences = sum(int(np.maximum(lengths[texts] - n + 1, 0).sum()) for n in range(2, ngrams + 1))
    kept = [id for id in range(len(counts)) if counts[id] >= max(1, min_count)]
    kept.sort(key=lambda id: (-counts[id], tokens.names[id]))
    row = np.full(len(counts), -1, np.int32)
    row[kept] = np.arange(len(kept), dtype=np.int32)
    words = [(tokens.names[id], int(counts[id])) for id in kept]

    data = np.frombuffer(b"".join(tokens.names), np.uint8)
    starts = np.cumsum([0, *map(len, tokens.names)], dtype=np.int64)
    wrapped = np.frombuffer(b"".join(b"<%b>" % name for name in tokens.names), np.uint8)
    wrapped_starts = starts + 2 * np.arange(len(starts))
    subword_starts = np.zeros(len(starts), np.int64)
    if max_n > 0:
        subword_starts[1:] = np.cumsum(_count_subwords(wrapped, wrapped_starts, min_n, max_n))
        occurrences += int(subword_starts[-1])
    if ngrams <= 1 and max_n <= 0:
        buckets = 0
    elif not buckets:
        buckets = min(1 << 21, 1 << max(12, int(occurrences).bit_length()))
    subwords = np.zeros(subword_starts[-1], np.int32)
    if max_n > 0:
        _fill_subwords(wrapped, wrapped_starts, min_n, max_n, buckets, len(words), subwords)
    return Dictionary(words, row, _hashes(data, starts), subwords, subword_starts, ngrams, buckets)


@kernel
def _hash(data: np.ndarray, begin: int, end: int) -> np.uint32:
    """FNV-1a over signed bytes, as fastText has it."""
    value = np.uint32(2166136261)
    for at in range(begin, end):
        value = np.uint32((value ^ np.uint32(np.int32(np.int8(data[at])))) * np.uint32(16777619))
    return value


@kernel
def _hashes(data: np.ndarray, starts: np.ndarray) -> np.ndarray:
    found = np.empty(len(starts) - 1, np.int32)
    for index in range(len(found)):
        found[index] = np.int32(_hash(data, starts[index], starts[index + 1]))
    return found


@kernel
def _walk(data: np.ndarray, begin: int, end: int, min_n: int, max_n: int, buckets: int, out: np.ndarray) -> int:
    """Writes the bucket of every character n-gram of one wrapped name to `out` (unless empty); returns how many. END
    has none; the marks at both ends are none by themselves."""
    if end - begin == len(_WRAPPED_END):
        same = True
        for k in range(len(_WRAPPED_END)):
            same &= data[begin + k] == _WRAPPED_END[k]
        if same:
            return 0
    number = 0
    for first in range(begin, end):
        if data[first] & 0xC0 == 0x80:
            continue
        at, n = first, 1
        while at < end and n <= max_n:
            at += 1
            while at < end and data[at] & 0xC0 == 0x80:
                at += 1
            if n >= min_n and not (n == 1 and (first == begin or at == end)):
                if len(out):
                    out[number] = np.int32(_hash(data, first, at) % np.uint32(buckets))
                number += 1
            n += 1
    return number


@kernel
def _count_subwords(data: np.ndarray, starts: np.ndarray, min_n: int, max_n: int) -> np.ndarray:
    counts = np.empty(len(starts) - 1, np.int64)
    nothing = np.empty(0, np.int32)
    for index in range(len(counts)):
        counts[index] = _walk(data, starts[index], starts[index + 1], min_n, max_n, 1, nothing)
    return counts


@kernel
def _fill_subwords(
    data: np.ndarray, starts: np.ndarray, min_n: int, max_n: int, buckets: int, words: int, out: np.ndarray
) -> None:
    at = 0
    for index in range(len(starts) - 1):
        if at == len(out):
            return
        at += _walk(data, starts[index], starts[index + 1], min_n, max_n, buckets, out[at:])
    for index in range(len(out)):
        out[index] += words


@kernel
def rows_of(
    ids: np.ndarray,
    row: np.ndarray,
    hashes: np.ndarray,
    subwords: np.ndarray,
    subword_starts: np.ndarray,
    ngrams: int,
    buckets: int,
    words: int,
    out: np.ndarray,
) -> int:
    """Writes the rows that a text of tokens `ids` adds up to `out`, in fastText's order; returns how many."""
    number = 0
    for id in ids:
        if row[id] >= 0:
            out[number] = row[id]
            number += 1
        for at in range(subword_starts[id], subword_starts[id + 1]):
            out[number] = subwords[at]
            number += 1
    for first in range(len(ids)):
        value = np.uint64(np.int64(hashes[ids[first]]))
        for last in range(first + 1, min(len(ids), first + ngrams)):
            value = value * np.uint64(116049371) + np.uint64(np.int64(hashes[ids[last]]))
            out[number] = np.int32(words + np.int64(value % np.uint64(buckets)))
            number += 1
    return number


def longest(tokens: Tokens, known: Dictionary) -> int:
    """How many rows a text can add up at most."""
    if len(tokens.starts) < 2:
        return 0
    per_name = np.diff(known.subword_starts)
    most = 0
    for begin, end in zip(tokens.starts[:-1].tolist(), tokens.starts[1:].tolist(), strict=True):
        most = max(most, (end - begin) * known.ngrams + int(per_name[tokens.ids[begin:end]].sum()))
    return most
