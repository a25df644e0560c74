"""What a page's markup costs at most, counted in one pass over its bytes: most pages need no other look (`bounds`).

Each function decides as the expressions of `bounds` do, which stay the definition; tests hold them against each other.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
import numpy.typing as npt

from data_pipeline.kernel import kernel

Bytes = npt.NDArray[np.uint8]
"""Read-only, the bytes of a page."""
Words = npt.NDArray[np.uint64]

_LONGEST_NAME = 41  # bytes of a tag's name that are looked at
_KEY_CHARACTERS = 10  # no name that has a rule is longer
_FORMATTING_LETTERS = 6  # of the longest name of a formatting element
_LONG = -2  # key of a name that is longer
_TRIES = 32  # open elements looked through for an end tag, on average over the page's tags

_BLOCK, _FLAT, _FORMATTING, _CELL_END, _TABLE = 1, 2, 4, 8, 16


def key(name: bytes) -> int:
    """The number of a tag's name of at most 10 characters, in which letters count without case: 6 bits for each."""
    number = 0
    for byte in name.lower():
        number = number << 6 | int(CODES[byte])
    return number


def _codes() -> npt.NDArray[np.uint8]:
    """A number from 1 to 38 for each byte that may stand in a name, 0 for the others."""
    codes = np.zeros(256, np.uint8)
    for number, byte in enumerate(b"abcdefghijklmnopqrstuvwxyz0123456789:-", 1):
        codes[byte] = codes[ord(chr(byte).upper())] = number
    return codes


CODES = _codes()
"""By byte."""


def rules(
    blocks: Set[bytes], flat: Set[bytes], formatting: Set[bytes], cell_ends: Set[bytes]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Keys of the names that have rules, sorted, and which rules these are, for `depth`."""
    kinds: dict[int, int] = {key(b"table"): _TABLE}
    for names, kind in ((blocks, _BLOCK), (flat, _FLAT), (formatting, _FORMATTING), (cell_ends, _CELL_END)):
        for name in names:
            kinds[key(name)] = kinds.get(key(name), 0) | kind
    ordered = sorted(kinds)
    return np.array(ordered, np.int64), np.array([kinds[one] for one in ordered], np.int64)


@kernel
def most_open(
    data: Bytes, words: Words, codes: Bytes, names: npt.NDArray[np.int64], limit: int
) -> tuple[int, int, int, bool]:
    """`<`; `</`; the most formatting elements open at a time, were they closed by their own end tags only; whether a
    stretch between two `>` could be a tag of more than `limit` attributes. words: the same bytes without the last few.
    names: keys of formatting elements, sorted. `<b>` and `<B>` count apart, so the third is an upper bound."""
    size = len(data)
    opens, ends, total, most, suspect = 0, 0, 0, 0, False
    opened = np.zeros(len(names) << _FORMATTING_LETTERS, np.int64)
    begin = at = 0
    while at < size:
        if at & 7 == 0:
            word = at >> 3
            while word < len(words) and not _has_angle(words[word]):
                word += 1
            at = word << 3
            if at >= size:
                break
        byte = data[at]
        at += 1
        if byte == 62:  # >
            if at - 1 - begin > 2 * limit and not suspect:
                suspect = _attributes_may_exceed(data, begin, at - 1, limit)
            begin = at
        elif byte == 60:  # <
            opens += 1
            from_name = at
            end = at < size and data[at] == 47  # /
            if end:
                ends += 1
                from_name += 1
            number = capitals = 0
            to = from_name
            while to < size and codes[data[to]] != 0 and to - from_name <= _FORMATTING_LETTERS:
                number = number << 6 | codes[data[to]]
                capitals = capitals << 1 | (data[to] < 97)
                to += 1
            if to == from_name or to - from_name > _FORMATTING_LETTERS or to >= size:
                continue
            after = data[to]
            if not (
                after == 62 or after == 32 or after == 47 or after == 9 or after == 10 or after == 12 or after == 13
            ):
                continue
            index = int(np.searchsorted(names, number))
            if index == len(names) or names[index] != number:
                continue
            index = index << _FORMATTING_LETTERS | capitals
            if not end:
                opened[index] += 1
                total += 1
                most = max(most, total)
            elif opened[index]:
                opened[index] -= 1
                total -= 1
    if size - begin > 2 * limit and not suspect:
        suspect = _attributes_may_exceed(data, begin, size, limit)
    return opens, ends, most, suspect


@kernel
def _has_angle(word: np.uint64) -> bool:
    """Whether one of eight bytes is `<` or `>`, which differ in one bit."""
    zero = (word | np.uint64(0x0202020202020202)) ^ np.uint64(0x3E3E3E3E3E3E3E3E)
    return (zero - np.uint64(0x0101010101010101)) & ~zero & np.uint64(0x8080808080808080) != 0


@kernel
def _attributes_may_exceed(data: Bytes, begin: int, end: int, limit: int) -> bool:
    """One byte and one break each at least, behind the first `<` before a letter."""
    at = begin
    while at + 1 < end and not (data[at] == 60 and 97 <= data[at + 1] | 32 <= 122):
        at += 1
    if at + 1 >= end:
        return False
    breaks = 0
    inside = False
    for place in range(at, end):
        byte = data[place]
        one = byte == 32 or 9 <= byte <= 10 or 12 <= byte <= 13 or byte == 47 or byte == 34 or byte == 39
        if one and not inside:
            breaks += 1
        inside = one
    return breaks > limit


@kernel
def depth(data: Bytes, codes: Bytes, names: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], limit: int) -> int:
    """`bounds.depth`, or -1 where elements are left open in such a way that looking for them one by one takes long.
    names: keys of the elements that have rules, sorted; kinds: their rules, of the same order."""
    size = len(data)
    room = limit + 2
    keys = np.empty(room, np.int64)  # of the open elements
    places = np.empty(room, np.int64)  # where their names stand
    lengths = np.empty(room, np.int64)
    levels = np.empty(room, np.int64)  # index of each open block among them
    tables = np.zeros(room, np.bool_)  # whether it is a table
    count = np.zeros(len(names), np.int64)  # open blocks by name
    top = level = deepest = 0  # how many elements, how many blocks
    tags = tries = at = 0
    while at < size:
        if data[at] != 60:
            at += 1
            continue
        at += 1
        name = at
        end = at < size and data[at] == 47
        if end:
            name += 1
        if name >= size or not 97 <= data[name] | 32 <= 122:
            continue
        number = 0
        to = name
        while to < size and codes[data[to]] != 0 and to - name < _LONGEST_NAME:
            if to - name < _KEY_CHARACTERS:
                number = number << 6 | codes[data[to]]
            to += 1
        length = to - name
        at = to
        tags += 1
        kind = 0
        index = 0
        if length > _KEY_CHARACTERS:
            number = _LONG
        else:
            index = int(np.searchsorted(names, number))
            if index < len(names) and names[index] == number:
                kind = kinds[index]
        floor = levels[level - 1] + 1 if level else 0
        if kind & _FLAT:
            if kind & _CELL_END and level and tables[level - 1]:
                while top > floor:
                    above = np.searchsorted(names, keys[top - 1])
                    if above == len(names) or names[above] != keys[top - 1] or not kinds[above] & _FORMATTING:
                        break
                    top -= 1
        elif not end:
            if kind & _BLOCK:
                levels[level] = top
                tables[level] = kind & _TABLE != 0
                level += 1
                count[index] += 1
            keys[top], places[top], lengths[top] = number, name, length
            top += 1
            if top > deepest:
                deepest = top
                if deepest > limit:
                    return deepest
        elif kind & _BLOCK:
            while count[index]:
                level -= 1
                top = levels[level]
                count[np.searchsorted(names, keys[top])] -= 1
                if keys[top] == number:
                    break
        else:
            below = top - 1
            while below >= floor:
                tries += 1
                if keys[below] == number and (
                    number != _LONG or _same(data, codes, places[below], lengths[below], name, length)
                ):
                    top = below
                    break
                below -= 1
            if tries > _TRIES * tags + 10_000:
                return -1
    return deepest


@kernel
def _same(data: Bytes, codes: Bytes, one: int, length: int, other: int, other_length: int) -> bool:
    if length != other_length:
        return False
    at = 0
    while at < length and codes[data[one + at]] == codes[data[other + at]]:
        at += 1
    return at == length
