"""What each code point is, as one table of flags that compiled loops look up; built from Python's `unicodedata`."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np

RULE_VERSION = 1

BLANK = 1
"""White space, as `str.isspace` has it."""
LETTER = 2
UPPER = 4
DIGIT = 8
"""Numbers of any script."""
SYMBOL = 16
"""Punctuation, symbols, controls: a word of them alone is no word to Gopher's counts."""
UNSPACED = 32
"""Letters of scripts written without blanks between words: each counts as a word."""
TERMINAL = 64
"""Ends a sentence: Unicode's property Sentence_Terminal."""
BULLET = 128
HANGUL = 256
"""Syllable blocks of two or three letters."""
CLOSING = 512
"""Quotation marks and brackets that may stand behind the end of a sentence."""

ALPHABETIC_UNSPACED = 1024
"""Of UNSPACED, the scripts in which a word takes about four letters: all but Han, kana and the like."""

UNICODE = unicodedata.unidata_version
"""Version of the tables, which decides results."""

# Han, kana, bopomofo, Thai, Lao, Tibetan, Burmese, Khmer, Tai scripts, Balinese, Javanese, Yi, Tangut. Korean is
# written with blanks and is not among them.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF),
    (0x1B00, 0x1B7F), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C), (0x3041, 0x30FF),
    (0x3100, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA48F),
    (0xA980, 0xA9DF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F), (0xAA80, 0xAADF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F),
    (0x17000, 0x18DFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip

_ALPHABETIC = ((0x0E00, 0x1FFF), (0xA980, 0xAADF))

# Sentence_Terminal of the Unicode Character Database (PropList).
_TERMINAL = (
    (0x21, 0x21), (0x2E, 0x2E), (0x3F, 0x3F), (0x589, 0x589), (0x61D, 0x61F), (0x6D4, 0x6D4), (0x700, 0x702),
    (0x7F9, 0x7F9), (0x837, 0x837), (0x839, 0x839), (0x83D, 0x83E), (0x964, 0x965), (0x104A, 0x104B),
    (0x1362, 0x1362), (0x1367, 0x1368), (0x166E, 0x166E), (0x1735, 0x1736), (0x17D4, 0x17D5), (0x1803, 0x1803),
    (0x1809, 0x1809), (0x1944, 0x1945), (0x1AA8, 0x1AAB), (0x1B4E, 0x1B4F), (0x1B5A, 0x1B5B), (0x1B5E, 0x1B5F),
    (0x1B7D, 0x1B7F), (0x1C3B, 0x1C3C), (0x1C7E, 0x1C7F), (0x2024, 0x2024), (0x203C, 0x203D), (0x2047, 0x2049),
    (0x2CF9, 0x2CFB), (0x2E2E, 0x2E2E), (0x2E3C, 0x2E3C), (0x2E53, 0x2E54), (0x3002, 0x3002), (0xA4FF, 0xA4FF),
    (0xA60E, 0xA60F), (0xA6F3, 0xA6F3), (0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF), (0xA92F, 0xA92F),
    (0xA9C8, 0xA9C9), (0xAA5D, 0xAA5F), (0xAAF0, 0xAAF1), (0xABEB, 0xABEB), (0xFE12, 0xFE12), (0xFE15, 0xFE16),
    (0xFE52, 0xFE52), (0xFE56, 0xFE57), (0xFF01, 0xFF01), (0xFF0E, 0xFF0E), (0xFF1F, 0xFF1F), (0xFF61, 0xFF61),
    (0x10A56, 0x10A57), (0x10F55, 0x10F59), (0x10F86, 0x10F89), (0x11047, 0x11048), (0x110BE, 0x110C1),
    (0x11141, 0x11143), (0x111C5, 0x111C6), (0x111CD, 0x111CD), (0x111DE, 0x111DF), (0x11238, 0x11239),
    (0x1123B, 0x1123C), (0x112A9, 0x112A9), (0x1144B, 0x1144C), (0x115C2, 0x115C3), (0x115C9, 0x115D7),
    (0x11641, 0x11642), (0x1173C, 0x1173E), (0x11944, 0x11944), (0x11946, 0x11946), (0x11A42, 0x11A43),
    (0x11A9B, 0x11A9C), (0x11C41, 0x11C42), (0x11EF7, 0x11EF8), (0x11F43, 0x11F44), (0x16A6E, 0x16A6F),
    (0x16AF5, 0x16AF5), (0x16B37, 0x16B38), (0x16B44, 0x16B44), (0x16E98, 0x16E98), (0x1BC9F, 0x1BC9F),
    (0x1DA88, 0x1DA88),
)  # fmt: skip

_BULLETS = "•‣◦⁃●○▪■–-*·"
_CLOSING = "\"'”’»›)]}」』）］】〉》"

_BLOCK = 0x40000
_LOWER = 0x3000
"""Below it lie all scripts with capitals that a stop word is written in."""


@cache
def classes() -> np.ndarray:
    """uint16 [0x110000]: the flags of each code point."""
    table = np.zeros(sys.maxunicode + 1, np.uint16)
    # Planes 0 to 3 one by one; the others hold no letters, and no marks but variation selectors.
    named = "".join(map(unicodedata.category, map(chr, range(_BLOCK))))  # two letters each
    categories = np.frombuffer(named.encode(), "S2")
    major = categories.astype("S1")
    first = table[:_BLOCK]
    first[major == b"L"] |= LETTER
    first[np.isin(categories, (b"Lu", b"Lt"))] |= UPPER
    first[major == b"N"] |= DIGIT
    first[np.isin(major, (b"P", b"S", b"C"))] |= SYMBOL
    first[[code for code in range(0x10000) if chr(code).isspace()]] |= BLANK
    table[_BLOCK:] |= SYMBOL
    table[0xE0100:0xE01F0] = 0
    for low, high in _UNSPACED:
        part = table[low : high + 1]
        part[(part & (LETTER | DIGIT)) != 0] |= UNSPACED
    for low, high in _ALPHABETIC:
        part = table[low : high + 1]
        part[(part & UNSPACED) != 0] |= ALPHABETIC_UNSPACED
    # Their digits are numbers as anywhere, but 〇 and the like are written between other characters of Han.
    decimal = np.flatnonzero(categories == b"Nd")
    table[decimal] &= ~np.uint16(UNSPACED)
    for low, high in _TERMINAL:
        table[low : high + 1] |= TERMINAL
    table[_codes(_BULLETS)] |= BULLET
    table[_codes(_CLOSING)] |= CLOSING
    table[0xAC00:0xD7A4] |= HANGUL
    table.setflags(write=False)
    return table


@cache
def lower() -> np.ndarray:
    """int32 [0x3000]: the small letter of each code point, itself where it has none or several."""
    table = np.arange(_LOWER, dtype=np.int32)
    for code in range(_LOWER):
        small = chr(code).lower()
        if len(small) == 1:
            table[code] = ord(small)
    table.setflags(write=False)
    return table


def _codes(characters: Iterable[str]) -> list[int]:
    return [ord(character) for character in characters]
