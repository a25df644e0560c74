"""Words as spaCy's rule-based tokenizers cut them: the segmentation of datatrove, for runs that must agree with it.

About 30 times slower than `segmentation`; spaCy is part of the extra `peers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from configs.errors import Problem, UserError

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("spacy",)


@cache
def _tokenizer(language: str) -> Any:
    try:
        import spacy
    except ImportError as error:
        raise UserError(
            Problem(
                "clean.word_segmentation is spacy, and spaCy is not installed",
                hint='install the extra: pip install "millrace[peers]", or set clean.word_segmentation=unicode',
            )
        ) from error
    try:
        blank = spacy.blank(language)
    except ImportError:  # a language spaCy has no rules for, or whose tokenizer needs a further package
        blank = spacy.blank("xx")
    blank.add_pipe("sentencizer")
    return blank


def segment(texts: Sequence[str], languages: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words as int64 [words, 2], bytes [start, stop) in the texts laid end to end; int64 [documents + 1], where each
    document's begin; and the sentences of each document, int64 [documents], counted line by line.

    An unknown language is taken for English, as datatrove does. Raises UserError where spaCy is not installed."""
    spans: list[np.ndarray] = []
    counts = [0]
    sentences: list[int] = []
    before = 0
    for text, language in zip(texts, languages, strict=True):
        tokenizer = _tokenizer(language or "en")
        tokenizer.max_length = len(text) + 10
        found = [
            (token.idx + len(token.text) - len(token.text.lstrip()), token.idx + len(token.text.rstrip()))
            for token in tokenizer.make_doc(text)
            if token.text.strip()
        ]
        characters = np.array(found, np.int64).reshape(-1, 2)
        spans.append(before + _byte_of(text)[characters])
        counts.append(counts[-1] + len(found))
        sentences.append(sum(_sentences(tokenizer, line) for line in text.splitlines()))
        before += len(text.encode())
    joined = np.concatenate(spans) if spans else np.zeros((0, 2), np.int64)
    return joined, np.array(counts, np.int64), np.array(sentences, np.int64)


def _sentences(tokenizer: Any, line: str) -> int:
    line = line.strip()
    return sum(1 for sentence in tokenizer(line).sents if sentence.text.strip()) if line else 0


def _byte_of(text: str) -> np.ndarray:
    """int64 [characters + 1]: the byte at which each character begins."""
    if text.isascii():
        return np.arange(len(text) + 1, dtype=np.int64)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
    return np.concatenate(([0], np.cumsum(sizes)))
