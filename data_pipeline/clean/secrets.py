"""Secrets in a text: keys and tokens by the forms their issuers publish, private key blocks, passwords in addresses, and
assignments of something random to a name such as `api_key`.

One Aho-Corasick pass finds the few literals that such things contain; a pattern of bounded length is tried at those
places alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

RULE_VERSION = 1

_BEFORE, _AFTER = r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9_-])"
_WORD, _URL64 = "[A-Za-z0-9]", "[A-Za-z0-9_-]"

# literal -> pattern tried where it begins. Sources: the issuers' own descriptions of their token formats.
_TOKENS: dict[str, str] = {
    **{key: rf"{key}[A-Z2-7]{{16}}" for key in ("AKIA", "ASIA")},  # AWS access key ids
    **{key: rf"{key}{_WORD}{{36,251}}" for key in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")},  # GitHub
    "github_pat_": r"github_pat_[A-Za-z0-9_]{22,244}",
    "glpat-": rf"glpat-{_URL64}{{20,64}}",  # GitLab
    **{key: rf"{key}[A-Za-z0-9-]{{10,250}}" for key in ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-")},
    "hooks.slack.com/services/": r"hooks\.slack\.com/services/[A-Za-z0-9_]{8,12}/[A-Za-z0-9_]{8,12}/[A-Za-z0-9_]{20,30}",
    **{key: rf"{key}{_WORD}{{16,247}}" for key in ("sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_")},  # Stripe
    "AIza": rf"AIza{_URL64}{{35}}",  # Google API
    "ya29.": rf"ya29\.{_URL64}{{20,250}}",  # Google OAuth
    "GOCSPX-": rf"GOCSPX-{_URL64}{{28}}",
    "sk-ant-": rf"sk-ant-{_URL64}{{20,200}}",  # Anthropic
    "sk-proj-": rf"sk-proj-{_URL64}{{20,200}}",  # OpenAI
    "T3BlbkFJ": rf"T3BlbkFJ{_WORD}{{20}}",  # the middle of OpenAI's older keys
    "hf_": r"hf_[A-Za-z]{34}",  # Hugging Face
    "npm_": rf"npm_{_WORD}{{36}}",
    "pypi-AgE": rf"pypi-AgE{_URL64}{{50,250}}",
    "SG.": rf"SG\.{_URL64}{{22}}\.{_URL64}{{43}}",  # SendGrid
    "dop_v1_": r"dop_v1_[a-f0-9]{64}",  # DigitalOcean
    **{key: rf"{key}[a-fA-F0-9]{{32}}" for key in ("shpat_", "shpss_", "shpca_")},  # Shopify
    "sq0csp-": rf"sq0csp-{_URL64}{{43}}",  # Square
    "AGE-SECRET-KEY-1": r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    "AccountKey=": r"AccountKey=[A-Za-z0-9+/]{86}==",  # Azure storage
    "eyJ": rf"eyJ{_URL64}{{8,2000}}\.eyJ{_URL64}{{8,4000}}\.{_URL64}{{16,1000}}",  # JSON Web Token (RFC 7519)
}
_BLOCK = "-----BEGIN "  # RFC 7468, and PGP's armour (RFC 9580)
_BLOCK_HEAD = re.compile(r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_BODY = re.compile(r"[A-Za-z0-9+/=:,\s\\.()-]{0,16384}")
_BLOCK_END = re.compile(r"-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_URL = "://"
_CREDENTIALS = re.compile(r"://[^\s/@:?#]{1,64}:([^\s/@?#<>{}\[\]\"'*]{3,128})@[A-Za-z0-9]")

# name of what is assigned -> (least characters of the value, least bits of entropy per character)
_NAMES = {
    "secret": (16, 3.3), "token": (16, 3.3), "api_key": (16, 3.3), "apikey": (16, 3.3), "api-key": (16, 3.3),
    "access_key": (16, 3.3), "accesskey": (16, 3.3), "private_key": (16, 3.3), "auth_key": (16, 3.3),
    "password": (8, 2.5), "passwd": (8, 2.5), "pwd": (8, 2.5), "passphrase": (8, 2.5),
}  # fmt: skip
_ASSIGNMENT = re.compile(
    r"[A-Za-z0-9_.-]{0,24}[\"'`]?\s{0,2}(?::=|=>|==?|:)\s{0,2}[\"'`]?"
    r"(?P<value>[A-Za-z0-9+/=_.!@#$%^&*~-]{8,256})(?![A-Za-z0-9+/=_-])"
)
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w{0,64}(?:\.[A-Za-z_]\w{0,64}){1,8}")  # an expression of a program
_ANY_CASE = {
    written: name
    for name in _NAMES
    for written in (name, name.upper(), name.title(), name[0].upper() + name[1:],
                    name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:]))
}  # fmt: skip


@cache
def _search() -> tuple[Any, list[str], dict[str, re.Pattern[str]]]:
    from ahocorasick_rs import AhoCorasick, MatchKind

    literals = [*_TOKENS, _BLOCK, _URL, *_ANY_CASE]
    patterns = {literal: re.compile(_BEFORE + pattern + _AFTER) for literal, pattern in _TOKENS.items()}
    # A JWT may follow "=", a Slack address any "/": only letters and digits before would make it something else.
    patterns["T3BlbkFJ"] = re.compile(_TOKENS["T3BlbkFJ"])
    return AhoCorasick(literals, matchkind=MatchKind.LeftmostLongest), literals, patterns


def secrets(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each secret; of an assignment or an address, the value alone."""
    automaton, literals, patterns = _search()
    done = 0
    for index, start, end in automaton.find_matches_as_indexes(text):
        if start < done:
            continue
        literal = literals[index]
        if literal == _URL:
            found = _CREDENTIALS.match(text, start)
            span = found.span(1) if found else None
        elif literal == _BLOCK:
            span = _block(text, start)
        elif literal in _ANY_CASE:
            span = _assigned(text, end, *_NAMES[_ANY_CASE[literal]])
        else:
            found = patterns[literal].match(text, start)
            span = found.span() if found else None
            if span and literal == "T3BlbkFJ":
                begun = _KEY_BEFORE.match(text[max(0, start - 40) : start][::-1])
                span = (start - (begun.end() if begun else 0), span[1])
        if span:
            done = span[1]
            yield span


_KEY_BEFORE = re.compile(rf"{_URL64}{{0,40}}")


def _block(text: str, start: int) -> tuple[int, int] | None:
    """From BEGIN to END; without an END, as far as what may stand in a block goes."""
    head = _BLOCK_HEAD.match(text, start)
    if head is None:
        return None
    body = _BLOCK_BODY.match(text, head.end())
    assert body is not None
    inside = text.rfind("-----END", head.end(), body.end() + 8)
    end = _BLOCK_END.match(text, inside) if inside >= 0 else None
    return start, end.end() if end else max(head.end(), head.end() + len(body[0].rstrip("- \n\t")))


def _assigned(text: str, after: int, least: int, bits: float) -> tuple[int, int] | None:
    found = _ASSIGNMENT.match(text, after)
    if found is None:
        return None
    value = found["value"].rstrip(".!=") or found["value"]
    if len(value) < least or not any(map(str.isdigit, value)) or not any(map(str.isalpha, value)):
        return None
    if "://" in value or _DOTTED_NAME.fullmatch(value) or entropy(value) < bits:
        return None
    return found.start("value"), found.start("value") + len(value)


def entropy(value: str) -> float:
    """Bits per character by the value's own frequencies (Shannon 1948)."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
