"""Telephone numbers in a text: international ones (ITU-T E.164), the common national ways of writing, and any other
grouping of digits beside a word that announces a number."""

from __future__ import annotations

import re
from collections.abc import Iterator

RULE_VERSION = 1

# Runs of at least seven digits with up to three marks of grouping between two of them. The bound keeps long tables of
# digits linear; a longer run is no telephone number.
_MARKS = r"[ .\-/()\u00a0\u2010-\u2013]"
_RUN = re.compile(rf"[0-9](?<![0-9][0-9])(?:{_MARKS}{{0,3}}[0-9]){{6,40}}")

# Country codes assigned by ITU (E.164 list of 2016 and its amendments): one, two or three digits.
_ASSIGNED = re.compile(
    r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])[0-9]"
)

_EXTENSION = r"(?:[ ]?(?:x|ext\.?|extension)[ ]?[0-9]{1,6})?"
_S = r"[ .\-\u00a0\u2010-\u2013]"  # between groups
_BEGIN, _END = r"(?<![\w./=#$€£%+-])(?<![0-9],)", r"(?![\w%]|[.,:/-][0-9])"
_ALONE = r"(?<![0-9] )"  # where blanks divide the groups, digits before them would be one more
_INTERNATIONAL = re.compile(
    rf"(?<![\w./=])(?:\+|(?<!-){_ALONE}00(?=[1-9][0-9]{{0,2}}{_MARKS}))(?P<digits>[1-9][0-9]{{0,2}}(?:{_MARKS}{{0,3}}[0-9]){{6,14}}){_EXTENSION}{_END}"
)
_NATIONAL = re.compile(
    _BEGIN
    + "(?:"
    + "|".join(
        (
            # North America (NANP): the area begins with 2-9, between blanks the exchange does too.
            rf"(?:1{_S})?\([0-9]{{3}}\){_S}?[0-9]{{3}}{_S}[0-9]{{4}}",
            r"(?:1[ .\-])?[2-9][0-9]{2}(?P<nanp>[.\-])[0-9]{3}(?P=nanp)[0-9]{4}",
            _ALONE + r"(?:1 )?[2-9][0-9]{2} [2-9][0-9]{2}[ -][0-9]{4}",
            # An area code in brackets, with or without the trunk's 0.
            rf"(?:[18]{_S})?\(0?[1-9][0-9]{{1,3}}\)[ ]?[0-9]{{2,4}}(?:{_S}[0-9]{{2,4}}){{1,3}}",
            r"\(0[0-9]{1,4}\)[ ]?[0-9]{4,8}",
            # France and others: the trunk's 0 and five pairs. Days of a month continue before or behind it.
            _ALONE + r"0[1-9](?:(?P<pair>[ .\-])[0-9]{2})(?:(?P=pair)[0-9]{2}){3}(?! [0-9])",
            # The trunk's 0, an area code, then one to three groups; nine digits or more.
            r"0[1-9][0-9]{1,4}[ \-/][0-9]{3,4}[ \-]?[0-9]{3,4}",
            r"0[1-9][ \-/][0-9]{3,4}[ \-]?[0-9]{4}",
            r"0[1-9][0-9]{1,4} ?/ ?[0-9]{5,8}",
            r"0[1-9][0-9]{0,2}-[0-9]{7,8}",
            _ALONE + r"0[1-9][0-9]{1,3} [0-9]{2,3} [0-9]{2} [0-9]{2}(?! [0-9])",
            # Russia: 8 and ten digits as 3-3-2-2.
            rf"8{_S}[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{2}}{_S}[0-9]{{2}}",
            # China, mobile: 3-4-4.
            r"1[3-9][0-9][ \-][0-9]{4}[ \-][0-9]{4}",
        )
    )
    + ")"
    + _EXTENSION
    + _END
)
_ANNOUNCED = re.compile(
    rf"(?:\+|(?<![\w./=#$€£+]))(?<![0-9],)\(?[0-9](?:{_MARKS}{{0,2}}[0-9]){{5,14}}{_EXTENSION}(?![\w%]|[.,:/][0-9])"
)
# Words of the languages most pages are in; Latin ones stand alone, so that "cancel 1234567" announces nothing.
_ANNOUNCES = re.compile(
    r"(?<![^\W\d_])(?:tele?phones?|phones?|telefones?|tel[eé]fonos?|t[eé]l[eé]phones?|telefoon|telefon[a-z]{0,3}|tel|t[eé]l"
    r"|fax|mobile?|m[oó]vil|celular|cell|handy|hotline|helpline|toll[ -]?free|whatsapp|sms"
    r"|call(?:ing)?(?: (?:me|us|him|her|them))?|dial|answering|ring|appelez|ligue|llame|rufen sie"
    r"|тел|телефон[а-я]{0,2}|факс|моб)(?![^\W\d_])"
    r"|电话|電話|手机|手機|传真|傳真|热线|熱線|携帯|전화|휴대폰|팩스|โทร|هاتف|الهاتف|טלפון|फ़ोन|फोन",
    re.IGNORECASE,
)
_BEHIND = re.compile(r"[ \-,()]{1,3}(?:office|fax|mobile|cell|home|work|direct)\b", re.IGNORECASE)
_BETWEEN = re.compile("[0-9]{3}|<[A-Z]")
_REACH = 28  # characters between the word and the number
_NO_PHONE = re.compile(
    r"(?:19|20)[0-9]{2}[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[-/. ](?:0?[1-9]|[12][0-9]|3[01])[-/. ](?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2} ?[-\u2013/] ?(?:19|20)[0-9]{2}"
    r"|\((?:1[89]|20)[0-9]{2}\)"  # a journal's year, before its pages
    r"|[1-9][0-9]{0,2}(?:\.[0-9]{3}){1,4}\Z"  # thousands
    r"|[0-2]?[0-9][.][0-5][0-9] ?[-\u2013/] ?[0-2]?[0-9][.][0-5][0-9]"  # hours
)


def phones(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each telephone number, with its extension."""
    for run in _RUN.finditer(text):
        # A number may begin with "+(" before the run and end with an extension behind it.
        low, high = max(0, run.start() - 3), min(len(text), run.end() + 12)
        window = text[low:high]
        spans = [found.span() for found in _INTERNATIONAL.finditer(window) if _assigned(found["digits"])]
        spans = spans or [found.span() for found in _NATIONAL.finditer(window) if not _NO_PHONE.match(found[0])]
        if not spans and _announced(text, run.start(), run.end()):
            spans = [found.span() for found in _ANNOUNCED.finditer(window) if _plausible(found[0])]
        for start, end in spans:
            if low + start < run.end() and low + end > run.start():
                yield low + start, low + end


def _assigned(written: str) -> bool:
    """Whether the digits begin with an assigned country code and are as many as E.164 allows."""
    digits = "".join(filter(str.isdigit, written))
    if digits[0] == "1" and len(digits) != 11:  # North America: an area of three digits, and seven
        return False
    return 8 <= len(digits) <= 15 and _ASSIGNED.match(digits) is not None


def _announced(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - _REACH) : start]
    words = list(_ANNOUNCES.finditer(before))
    # Another number between the word and this one: the word speaks of that one. "<" begins a placeholder.
    if words and not _BETWEEN.search(before, words[-1].end()):
        return True
    return _BEHIND.match(text, end) is not None


def _plausible(written: str) -> bool:
    digits = sum(map(str.isdigit, written))
    return 6 <= digits <= 15 and not _NO_PHONE.match(written) and len(set(written) - set(" .-()")) > 2
