"""Lines removed and signals measured: every rule of Gopher, C4, FineWeb and RefinedWeb, in two sweeps of compiled code.

The first sweep looks at lines and takes out those that C4's and RefinedWeb's rules refuse, where they are enabled. The
second cuts what remains into words, lines and paragraphs, once, and measures every signal, whether its rule is enabled or
not: so a threshold can be changed later without the text. A document's result depends on nothing but the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from configs.schema.clean import Clean
from configs.schema.rules import C4, Lines
from data_pipeline.clean import (
    characters,
    line_rules,
    measures,
    phrases,
    repeats,
    segmentation,
    spacy_words,
    stop_words,
)

RULE_VERSION = [
    1,
    characters.RULE_VERSION,
    segmentation.RULE_VERSION,
    phrases.RULE_VERSION,
    line_rules.RULE_VERSION,
    repeats.RULE_VERSION,
    measures.RULE_VERSION,
    stop_words.RULE_VERSION,
]
LIBRARIES: tuple[str, ...] = ()
_OF_LINES = ("lines_removed_words", "c4_lorem_ipsum", "c4_curly_brackets")
SIGNALS: tuple[str, ...] = (*measures.SIGNALS, *_OF_LINES)


@dataclass
class Heuristics:
    """texts: large_string, after removal of lines ("" where none is left). signals: float64 [documents] by name, of
    those texts; NaN: says nothing of the document. notes: counts of lines by why they were removed, and of lines
    edited."""

    texts: pa.LargeStringArray
    signals: dict[str, np.ndarray]
    notes: dict[str, int]


def libraries(config: Clean) -> tuple[str, ...]:
    """Distributions whose versions decide what is measured under this configuration."""
    return spacy_words.LIBRARIES if config.word_segmentation == "spacy" else ()


def settings(config: Clean) -> dict[str, Any]:
    """The keys that decide texts and signals, as JSON; thresholds of whole documents are not among them."""
    return {
        "unicode": characters.UNICODE,
        "word_segmentation": config.word_segmentation,
        "stop_words": config.gopher_quality.stop_words,
        "short_line_characters": config.fineweb.short_line_characters,
        "lines": config.lines.model_dump(mode="json", exclude={"max_removed_words"}),
        "c4": config.c4.model_dump(mode="json", exclude={"max_lorem_ipsum", "max_curly_brackets", "min_sentences"}),
    }


def measure(texts: pa.LargeStringArray, languages: Sequence[str], config: Clean) -> Heuristics:
    """texts: without nulls. languages: code of each document, "" where unknown.

    Raises pyarrow.ArrowInvalid for texts that are not UTF-8, which compiled code must not meet; UserError where
    `clean.word_segmentation` asks for spaCy and it is not installed."""
    texts.validate(full=True)
    texts, of_lines, notes = _sweep_lines(texts, config)
    data, offsets = _buffers(texts)
    spans, span_offsets = np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    sentences: np.ndarray | None = None
    if config.word_segmentation == "spacy":
        spans, span_offsets, sentences = spacy_words.segment(texts.to_pylist(), languages)
        spans = spans + (offsets[0] if len(offsets) else 0)
    lists, stops, stop_offsets = _stop_words(languages, config)
    signals = np.zeros((len(texts), len(measures.SIGNALS)))
    measures.measure_batch(
        data,
        offsets,
        characters.classes(),
        characters.lower(),
        spans,
        span_offsets,
        stops,
        stop_offsets,
        lists,
        config.fineweb.short_line_characters,
        signals,
    )
    named = {name: signals[:, column].copy() for column, name in enumerate(measures.SIGNALS)}
    if sentences is not None:
        named["c4_sentences"] = sentences.astype(np.float64)
    return Heuristics(texts, {**named, **of_lines}, notes)


def _sweep_lines(
    texts: pa.LargeStringArray, config: Clean
) -> tuple[pa.LargeStringArray, dict[str, np.ndarray], dict[str, int]]:
    data, offsets = _buffers(texts)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    bounds = np.zeros(len(offsets), np.int64)
    signals = np.zeros((len(texts), len(_OF_LINES)))
    counts = np.zeros(line_rules.EDITED + 1, np.int64)
    table = _line_table(config.c4, config.lines)
    changed = line_rules.sweep(
        data, offsets, characters.classes(), characters.lower(), *table, out, bounds, signals, counts
    )
    named = {name: signals[:, column].copy() for column, name in enumerate(_OF_LINES)}
    if not changed:
        return texts, named, {}
    remaining = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(bounds), pa.py_buffer(out[: bounds[-1]]))
    reasons = (*(f"line removed {reason}" for reason in line_rules.REASONS), "line edited")
    return remaining, named, {reason: int(n) for reason, n in zip(reasons, counts, strict=True) if n}


def _line_table(c4: C4, lines: Lines) -> tuple[Any, ...]:
    """What `line_rules.sweep` reads of the configuration."""
    table = phrases.prepare(
        [
            ["javascript"] if c4.javascript else [],
            ["lorem ipsum"],
            c4.policy_phrases,
            lines.starts,
            lines.ends,
            lines.inside,
        ]
    )
    ends = np.zeros(0x110000 if c4.line_ends else 0, np.uint8)
    for end in c4.line_ends:
        ends[[ord(character) for character in end]] = 1
    lower = characters.lower()
    counters = [segmentation.fold_hash(_codes(word), lower) for word in lines.counters]
    numbers = (lines.max_uppercase, lines.max_edited_words, c4.min_line_words, c4.max_line_word_characters)
    switches = (lines.numeric, lines.one_word, c4.javascript, c4.citations, lines.enabled, c4.enabled)
    return (
        (table.kinds, table.starts, table.data, table.pairs),
        ends,
        np.array(counters, np.uint64),
        np.array(numbers, np.float64),
        np.array(switches, np.bool_),
    )


def _stop_words(languages: Sequence[str], config: Clean) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each document the place of its list or -1; the hashes of all lists; where each begins."""
    places: dict[str, int] = {}
    hashes: list[Any] = []
    starts = [0]
    for language in dict.fromkeys(languages):
        words = stop_words.words_of(language, config.gopher_quality.stop_words)
        if words:
            places[language] = len(starts) - 1
            small = dict.fromkeys(word.lower() for word in words)
            hashes += [segmentation.fold_hash(_codes(word), characters.lower()) for word in small]
            starts.append(len(hashes))
    lists = np.array([places.get(language, -1) for language in languages], np.int64)
    return lists, np.array(hashes, np.uint64), np.array(starts, np.int64)


def _codes(word: str) -> np.ndarray:
    return np.array([ord(character) for character in word], np.int64)


def _buffers(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The bytes and the offsets of the texts, both read-only and shared with them."""
    _, offsets, data = texts.buffers()
    if offsets is None or len(texts) == 0:
        return _frozen(np.zeros(0, np.uint8)), _frozen(np.zeros(1, np.int64))
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    held = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return _frozen(held), _frozen(places)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Read-only, as what Arrow owns is: so there is one type of array, and one compiled form of each loop."""
    view = array.view()
    view.flags.writeable = False
    return view
