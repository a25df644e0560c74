"""Text from outside - crawled, generated, typed by others - on a terminal."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

_ORDERS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Change the direction of what follows: a line then reads as what it does not say (Unicode TR 36, section 3)."""


def harmless(text: str) -> str:
    r"""`text` with what a terminal would obey instead of show written as \x1b, \u202e and the like.

    That is control characters but line feed and tab, the orders of direction, line separators and lone surrogates.
    """
    return "".join(_escaped(c) if _obeyed(c) else c for c in text)


def for_stdout(text: str) -> str:
    """`harmless` where stdout is a terminal; into a file or a pipe goes the text as it is."""
    return harmless(text) if sys.stdout.isatty() else text


def json_for_stdout(value: Any) -> str:
    """`value` as JSON; where stdout is a terminal, in ASCII alone, which means the same to who reads JSON."""
    import json

    return json.dumps(value, ensure_ascii=sys.stdout.isatty()).replace("\x7f", "\\u007f")


def _obeyed(c: str) -> bool:
    return c in _ORDERS or (c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"))


def _escaped(c: str) -> str:
    return c.encode("unicode_escape").decode("ascii")
