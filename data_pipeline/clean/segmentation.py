"""Words of a text, found in its UTF-8 bytes by compiled loops.

A word is a run of characters without white space, punctuation included, as most implementations of Gopher's rules
have it. Scripts written without blanks between words (`characters.UNSPACED`) have no such runs: there each
letter is a word, with the marks and the punctuation behind it.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.clean.characters import ALPHABETIC_UNSPACED, BLANK, DIGIT, HANGUL, LETTER, SYMBOL, UNSPACED
from data_pipeline.kernel import kernel

RULE_VERSION = 2

_FNV = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(33)

ALPHABETIC = 1
"""Flag of a word that holds a letter."""
PROPER = 2
"""Flag of a word that holds a character other than punctuation."""

OF_MANY = 4
"""Flag of a word that is one letter of a script in which a word takes about four."""


@kernel
def decode(data, i):  # type: ignore[no-untyped-def]
    """Code point at byte i of valid UTF-8, and the byte behind it."""
    b = np.int64(data[i])
    if b < 0x80:
        return b, i + 1
    if b < 0xE0:
        return ((b & 0x1F) << 6) | (np.int64(data[i + 1]) & 0x3F), i + 2
    if b < 0xF0:
        return ((b & 0x0F) << 12) | ((np.int64(data[i + 1]) & 0x3F) << 6) | (np.int64(data[i + 2]) & 0x3F), i + 3
    return (
        ((b & 0x07) << 18)
        | ((np.int64(data[i + 1]) & 0x3F) << 12)
        | ((np.int64(data[i + 2]) & 0x3F) << 6)
        | (np.int64(data[i + 3]) & 0x3F)
    ), i + 4


@kernel
def before(data, i):  # type: ignore[no-untyped-def]
    """First byte of the character before byte i."""
    i -= 1
    while data[i] & 0xC0 == 0x80:
        i -= 1
    return i


@kernel
def mix(h):  # type: ignore[no-untyped-def]
    """Spreads the bits of a 64-bit hash (the finaliser of MurmurHash3); a bijection."""
    h ^= h >> _SHIFT
    h *= _MIX
    h ^= h >> _SHIFT
    return h


@kernel
def strip(data, classes, start, stop):  # type: ignore[no-untyped-def]
    """The bytes [start, stop) without white space at both ends, as (start, stop)."""
    while start < stop:
        code, behind = decode(data, start)
        if not classes[code] & BLANK:
            break
        start = behind
    while start < stop:
        last = before(data, stop)
        code, behind = decode(data, last)
        if not classes[code] & BLANK:
            break
        stop = last
    return start, stop


@kernel
def next_word(data, classes, lower, i, stop, whole):  # type: ignore[no-untyped-def]
    """The word at or behind byte i, before byte stop. whole: the bytes [i, stop) are one word, found by others.

    Returns start and stop in bytes (equal: there is none), 64-bit hash, characters, letters as Gopher's mean length
    counts them (a Hangul syllable is its two or three), flags, hash of the word in small letters without punctuation
    around it, unspaced letters and letters.
    """
    while i < stop:
        code, behind = decode(data, i)
        if not classes[code] & BLANK:
            break
        i = behind
    start = i
    word = _FNV
    fold = _FNV
    bare = _FNV
    characters = 0
    length = 0
    flags = 0
    letters = 0
    unspaced = 0
    core = False
    after_unspaced = False
    while i < stop:
        code, behind = decode(data, i)
        kind = classes[code]
        if not whole:
            if kind & BLANK:
                break
            if kind & UNSPACED:
                if core:
                    break
                after_unspaced = True
            elif after_unspaced and kind & (LETTER | DIGIT):
                break
        if kind & (LETTER | DIGIT):
            core = True
            if kind & LETTER:
                flags |= ALPHABETIC
                letters += 1
                if kind & UNSPACED:
                    unspaced += 1
                    if kind & ALPHABETIC_UNSPACED:
                        flags |= OF_MANY
        characters += 1
        length += 1
        if kind & HANGUL:
            length += 1 if (code - 0xAC00) % 28 == 0 else 2
        while i < behind:
            word = (word ^ np.uint64(data[i])) * _PRIME
            i += 1
        if not kind & SYMBOL:
            flags |= PROPER
        if flags & PROPER:
            small = np.int64(lower[code]) if code < len(lower) else code
            fold = (fold ^ np.uint64(small)) * _PRIME
            if not kind & SYMBOL:
                bare = fold
    return start, i, mix(word), characters, length, flags, bare, unspaced, letters


@kernel
def fold_hash(codes, lower):  # type: ignore[no-untyped-def]
    """The hash that `next_word` gives a bare word of these code points."""
    fold = _FNV
    for code in codes:
        small = np.int64(lower[code]) if code < len(lower) else code
        fold = (fold ^ np.uint64(small)) * _PRIME
    return fold
