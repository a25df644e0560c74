"""Repair of a text before any rule reads it: mojibake, control and invisible characters, white space, Unicode normal
form."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from configs.schema.clean import Clean
from data_pipeline.documents import portions

RULE_VERSION = 2
LIBRARIES: tuple[str, ...] = ("ftfy",)

# C0 and C1 controls except tab and line feed, and the code points no text may hold.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Characters without shape or meaning of their own: soft hyphen, bidi marks, embeddings, overrides and isolates (they
# order what is shown, and hide code from its reader: "Trojan Source", Boucher and Anderson 2021), word joiner and
# invisible operators, byte order mark, interlinear annotation. Zero-width joiner and non-joiner stay: they spell
# Persian, Indic scripts and emoji. The zero-width space stays in scripts that part words with nothing else (Thai, Lao,
# Myanmar, Khmer). Tag characters stay in the flags they spell; elsewhere they hide text.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\u206a-\u206f\ufeff\ufff9-\ufffb]"
    "|(?<![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b"
    "|(?<![\U0001f3f4\U000e0000-\U000e007f])[\U000e0000-\U000e007f]{1,64}"
)
# One class for all of the above: a text without any of them is looked at once.
_ANY = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\U000e0000-\U000e007f]"
)
_ROUNDS = 4
_ANY_ASCII = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def repair(text: str, config: Clean) -> tuple[str, bool]:
    """The text with its mojibake undone (`clean.repair`), line ends as line feeds, controls and invisible characters
    (`clean.invisible`) removed, white space as `clean.whitespace` asks, and in the normal form of
    `clean.normalization`; and whether mojibake was undone. Never raises, whatever the text."""
    mended = False
    ascii = text.isascii()
    if ascii:
        if _ANY_ASCII.search(text):
            text = _without_controls(text, config)
    else:
        try:
            text.encode()  # ten times as fast as to search
        except UnicodeEncodeError:
            text = _SURROGATES.sub("\ufffd", text)
        # ftfy comes first: it reads C1 controls as the Windows-1252 characters they often stand for. What is removed
        # may have stood inside a marker.
        for _ in range(_ROUNDS):
            if config.repair:
                text, found = _mojibake(text)
                mended = mended or found
            if _ANY.search(text) is None:
                break
            text, before = _without_controls(text, config), text
            if text == before:
                break
    if config.whitespace == "collapse":
        text = " ".join(words for portion in portions(text) if (words := " ".join(portion.split())))
    elif config.whitespace == "lines":
        text = _lines(text)
    if config.normalization != "none" and not ascii and not unicodedata.is_normalized(config.normalization, text):
        text = unicodedata.normalize(config.normalization, text)
    return text, mended


def _without_controls(text: str, config: Clean) -> str:
    text = _LINE_ENDS.sub("\n", text)
    text = _CONTROLS.sub("", text)
    return _INVISIBLE.sub("", text) if config.invisible == "remove" else text


def _lines(text: str) -> str:
    """Runs of blanks as one, none at the ends of lines; runs of empty lines as one."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return "\n".join(line for index, line in enumerate(lines) if line or (index and lines[index - 1])).strip("\n")


def _mojibake(text: str) -> tuple[str, bool]:
    """ftfy (Speer 2019) on the lines alone that hold its markers, sequences such as "Ã©"."""
    suspicious, is_bad, fix_encoding = _ftfy()
    if suspicious.search(text) is None:
        return text, False
    lines = text.split("\n")
    mended = False
    for index, line in enumerate(lines):
        if not line.isascii() and suspicious.search(line) and is_bad(line):
            fixed = fix_encoding(line)
            if fixed != line:
                lines[index], mended = fixed, True
    return "\n".join(lines) if mended else text, mended


@cache
def _ftfy():  # type: ignore[no-untyped-def]
    from ftfy import fix_encoding
    from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad

    return suspicion(MOJIBAKE_CATEGORIES), is_bad, fix_encoding


def suspicion(categories: dict[str, str]) -> re.Pattern[str]:
    """A pattern that is found wherever ftfy's own pattern of bad sequences is, in a twentieth of its time.

    Nearly each of ftfy's sequences holds a mark, or a capital with an accent, beside another mark or accented letter;
    texts hold such neighbours rarely ("5 €" behind a no-break space). The others are named one by one. Every
    branch begins at a character of one class, which the search looks for first."""
    kinds = ("common", "bad", "law", "currency", "start_punctuation", "end_punctuation", "numeric", "box")
    marks = "".join(categories[kind] for kind in kinds) + "°"
    capitals = categories["upper_accented"] + "Ù"
    accented = capitals + categories["lower_accented"] + categories["kaomoji"]
    letters = categories["upper_common"] + categories["lower_common"]  # Greek, Cyrillic
    alone = categories["c1"] + "ÃÂЂ\ufffd"
    near = f"{marks}{accented}"
    return re.compile(
        f"[{marks}{capitals}{alone}œ](?:"
        f"(?<=[{alone}])"
        f"|(?=[{near}])"
        f"|(?<=[{near}][{marks}{capitals}])"
        f"|(?<=[Œœ])(?=[^A-Za-z])"
        f"|(?<=[{letters}][{capitals}{categories['bad']}])"
        f"|(?<=[ВГРСΒΓΞΟ][{marks}])(?=[ВГРСΒΓΞΟ])"
        f"|(?<=β€))"
    )
