"""Bank accounts (IBAN) and credit card numbers in a text, each proved by its check digits."""

from __future__ import annotations

import re
from collections.abc import Iterator

RULE_VERSION = 1

# Length by country: SWIFT's IBAN registry (ISO 13616), release 99.
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL SD FK", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH CR HR LI LV", "22": "BG BH DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA",
        "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

# Two letters and two check digits, looked for at the digits, which are rarer than letters, and the first group of four.
_IBAN = re.compile(r"[0-9]{2}(?<=(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2})[ -]?[A-Za-z0-9]{4}")

# Nineteen digits in one run are a number of something else: any 64-bit integer may look so.
_CARD = re.compile(
    r"[2-6](?<![0-9A-Za-z.,_+-][2-6])[0-9]{3}"
    r"(?:([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}|([ -])[0-9]{4}\2[0-9]{4}\2[0-9]{4}\2[0-9]{3}|([ -]?)[0-9]{6}\3[0-9]{4,5})"
    r"(?![0-9A-Za-z_]|[.,-][0-9])"
)
_PREFIXES = (
    # issuer's first digits (low, high), lengths: ISO/IEC 7812 ranges as the issuers publish them
    ("4", "4", (16, 19)),  # Visa
    ("51", "55", (16,)), ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)), ("37", "37", (15,)),  # American Express
    ("6011", "6011", (16, 19)), ("644", "659", (16, 19)),  # Discover
    ("300", "305", (14,)), ("36", "36", (14,)), ("38", "39", (14,)),  # Diners Club
    ("3528", "3589", (16, 19)),  # JCB
    ("62", "62", (16, 19)),  # UnionPay
)  # fmt: skip


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each IBAN whose length is its country's and whose check digits are right (ISO 7064, mod 97-10)."""
    for found in _IBAN.finditer(text):
        start = found.start() - 2
        length = _IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            continue
        # As many characters as the country has: what follows in the sentence may look like a further group.
        end, left, gap = start, length, False
        for end in range(start, min(start + 2 * length, len(text))):
            if text[end] in " -":
                if gap:
                    break
                gap = True
            else:
                left, gap = left - 1, False
                if not left:
                    break
        end += 1
        if left or text[end : end + 1].isalnum():
            continue
        account = text[start:end].replace(" ", "").replace("-", "").upper()
        if (
            account.isascii()
            and account.isalnum()
            and int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1
        ):
            yield start, end


def cards(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each card number of a known issuer, of its length, with the right check digit (Luhn, ISO/IEC
    7812-1 annex B)."""
    for found in _CARD.finditer(text):
        digits = found[0].replace(" ", "").replace("-", "")
        if _issued(digits) and _luhn(digits):
            yield found.span()


def _issued(digits: str) -> bool:
    return any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _PREFIXES)


def _luhn(digits: str) -> bool:
    total = sum(map(int, digits[-1::-2])) + sum(int(d) * 2 - 9 * (d > "4") for d in digits[-2::-2])
    return total % 10 == 0
