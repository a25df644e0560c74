"""Personal data and secrets of a text: found, counted, and masked or made a reason to drop the document.

What is looked for, and what proves it: see `contacts`, `phones`, `accounts` and `secrets`. Names of persons, postal
addresses and dates of birth need a model and are not looked for. Digits are those of ASCII.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from configs.schema.private import Pii, PiiKinds
from data_pipeline.clean import accounts, contacts, phones, secrets

RULE_VERSION = [1, contacts.RULE_VERSION, phones.RULE_VERSION, accounts.RULE_VERSION, secrets.RULE_VERSION]
LIBRARIES: tuple[str, ...] = ("ahocorasick_rs",)

PLACEHOLDERS = {
    "secret": "<SECRET>",
    "iban": "<IBAN>",
    "credit_card": "<CREDIT_CARD>",
    "email": "<EMAIL>",
    "ip": "<IP_ADDRESS>",
    "phone": "<PHONE>",
}
"""What takes the place of each kind; in the order in which one kind wins where two overlap. No rule finds anything in
a placeholder, so masking a masked text changes nothing."""

_FINDERS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "secret": secrets.secrets,
    "iban": accounts.ibans,
    "credit_card": accounts.cards,
    "email": contacts.emails,
    "ip": contacts.addresses,
    "phone": phones.phones,
}
_ROUNDS = 3
_BEYOND = 8192  # characters behind a cut, to know what it goes through
_STRENGTH = {"drop": 0, "mask": 1, "keep": 2}


class Span(NamedTuple):
    """Characters [start, end) of the text before masking."""

    start: int
    end: int
    kind: str


class Treated(NamedTuple):
    """text: with placeholders. counts: by kind, without zeros. spans: in the order of the text. drop: the kind that
    makes the document be rejected; "" if none does."""

    text: str
    counts: dict[str, int]
    spans: list[Span]
    drop: str


def treat(text: str, config: Pii) -> Treated:
    """What `config.kinds` asks for. A document to drop keeps its text here: the caller rejects it as `pii_{drop}` with
    `counts[drop]` as value and the spans' offsets, and stores no text. Linear in the length of the text."""
    kinds = config.kinds
    spans = find(text, kinds)
    counts: dict[str, int] = {}
    for span in spans:
        counts[span.kind] = counts.get(span.kind, 0) + 1
    dropped = [kind for kind in PLACEHOLDERS if kind in counts and getattr(kinds, kind) == "drop"]
    if dropped:
        return Treated(text, counts, spans, dropped[0])
    return Treated(_masked(text, [span for span in spans if getattr(kinds, span.kind) == "mask"]), counts, spans, "")


def masked(text: str, characters: int | None = None) -> str:
    """The text, or its first `characters`, with every kind masked, whatever the configuration: for samples that people
    see. What a cut goes through is masked as a whole."""
    if characters is None or len(text) <= characters:
        return _masked(text, find(text, PiiKinds()))
    spans = [span for span in find(text[: characters + _BEYOND], PiiKinds()) if span.start < characters]
    end = max(characters, spans[-1].end if spans else 0)
    return _masked(text[:end], spans)


def find(text: str, kinds: PiiKinds) -> list[Span]:
    """All that is found, without overlaps. Where two overlap, one span covers both, of the kind with the stronger
    action (drop, mask, keep), then of the first kind in `PLACEHOLDERS`.

    What stands beside a placeholder can be told where it could not before (a number that touched another one), so what
    is masked is searched again; a text without finds is searched once.
    """
    spans = _search(text, kinds)
    found = spans
    for _ in range(_ROUNDS):
        if not found:
            break
        found = _search(_masked(text, spans), kinds)
        if found:
            spans = _merged([*spans, *_unmasked(spans, found)], kinds)
    return spans


def _search(text: str, kinds: PiiKinds) -> list[Span]:
    spans = [Span(start, end, kind) for kind, finder in _FINDERS.items() for start, end in finder(text)]
    return _merged(spans, kinds) if spans else spans


def _merged(spans: list[Span], kinds: PiiKinds) -> list[Span]:
    order = {kind: (_STRENGTH[getattr(kinds, kind)], rank) for rank, kind in enumerate(PLACEHOLDERS)}
    merged: list[Span] = []
    for span in sorted(spans):
        last = merged[-1] if merged else None
        if last is not None and span.start < last.end:
            kind = min(span.kind, last.kind, key=order.__getitem__)
            merged[-1] = Span(last.start, max(last.end, span.end), kind)
        else:
            merged.append(span)
    return merged


def _masked(text: str, spans: list[Span]) -> str:
    if not spans:
        return text
    pieces, done = [], 0
    for start, end, kind in spans:
        pieces += [text[done:start], PLACEHOLDERS[kind]]
        done = end
    return "".join([*pieces, text[done:]])


def _unmasked(spans: list[Span], found: list[Span]) -> list[Span]:
    """Spans found in the masked text, as spans of the text before; one that touches a placeholder covers all of what
    the placeholder stands for."""
    starts, ends, shift = [], [], 0  # of the placeholders in the masked text
    for start, end, kind in spans:
        starts.append(start + shift)
        ends.append(start + shift + len(PLACEHOLDERS[kind]))
        shift += len(PLACEHOLDERS[kind]) - (end - start)
    original = []
    for start, end, kind in found:
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first < last:  # it touches the placeholders [first, last)
            low = spans[first].start if starts[first] <= start else spans[first].start - (starts[first] - start)
            high = spans[last - 1].end if end <= ends[last - 1] else spans[last - 1].end + (end - ends[last - 1])
        else:
            moved = spans[first - 1].end - ends[first - 1] if first else 0
            low, high = start + moved, end + moved
        original.append(Span(low, high, kind))
    return original
