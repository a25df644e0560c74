"""Repair of a text before any rule reads it: mojibake, control characters, Unicode normal form."""

from __future__ import annotations

import re
import unicodedata

from configs.schema.clean import Clean

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("ftfy",)

# C0 and C1 controls except tab and line feed, and the code points no text may hold.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def repair(text: str, config: Clean) -> tuple[str, bool]:
    """The text with its mojibake undone (`clean.repair`), line ends as line feeds, controls removed, and in the normal
    form of `clean.normalization`; and whether mojibake was undone. Never raises, whatever the text."""
    mended = False
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
        if config.repair:
            text, mended = _mojibake(text)
    # After ftfy: it reads C1 controls as the Windows-1252 characters they often stand for.
    text = _LINE_ENDS.sub("\n", text)
    text = _CONTROLS.sub("", text)
    if config.normalization != "none" and not unicodedata.is_normalized(config.normalization, text):
        text = unicodedata.normalize(config.normalization, text)
    return text, mended


def _mojibake(text: str) -> tuple[str, bool]:
    """ftfy (Speer 2019) on the lines alone that hold its markers, sequences such as "Ã©": it reads 2 MB/s there, the
    search for markers 15 MB/s, and lines in ASCII cost nothing."""
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    lines = text.split("\n")
    mended = False
    for index, line in enumerate(lines):
        if not line.isascii() and is_bad(line):
            fixed = fix_encoding(line)
            if fixed != line:
                lines[index], mended = fixed, True
    return "\n".join(lines) if mended else text, mended
