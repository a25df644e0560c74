"""Short lists of phrases looked for in every line, in one scan; capitals of ASCII letters are ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_pipeline.kernel import kernel

RULE_VERSION = 1


@dataclass(frozen=True)
class Phrases:
    """kinds: int64 [phrases]. starts: int64 [phrases + 1] into data, the phrases' UTF-8 in small letters. pairs: bool
    [65536], the pairs of bytes a phrase may begin with."""

    kinds: np.ndarray
    starts: np.ndarray
    data: np.ndarray
    pairs: np.ndarray


def prepare(lists: Sequence[Sequence[str]]) -> Phrases:
    """lists: phrases by kind, the index of the list. The longest come first, so that "read more..." is found before
    "read more"."""
    found = sorted(
        {(-len(text.encode()), kind, _small(text)) for kind, texts in enumerate(lists) for text in texts if text}
    )
    pairs = np.zeros(65536, np.bool_)
    for _, _, text in found:
        if len(text) == 1:
            pairs[text[0] * 256 : text[0] * 256 + 256] = True
        else:
            pairs[text[0] * 256 + text[1]] = True
    return Phrases(
        np.array([kind for _, kind, _ in found], np.int64),
        np.cumsum([0, *(len(text) for _, _, text in found)]).astype(np.int64),
        np.frombuffer(b"".join(text for _, _, text in found) or b"\0", np.uint8),
        pairs,
    )


def _small(text: str) -> bytes:
    return text.encode().lower()  # bytes.lower changes ASCII alone


@kernel
def small(byte):  # type: ignore[no-untyped-def]
    """The byte, as a small letter if it is a capital of ASCII."""
    return byte + 32 if 65 <= byte <= 90 else byte


@kernel
def phrase_at(data, i, stop, kind, kinds, starts, phrases):  # type: ignore[no-untyped-def]
    """Bytes of the longest phrase of this kind at byte i, before byte stop; 0: none."""
    for p in range(len(kinds)):
        if kinds[p] == kind:
            size = starts[p + 1] - starts[p]
            if i + size <= stop:
                k = 0
                while k < size and small(data[i + k]) == phrases[starts[p] + k]:
                    k += 1
                if k == size:
                    return size
    return 0
