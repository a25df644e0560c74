"""Cleaning: what is done to each document by itself, and what is measured of it. Which document stays is decided later,
from the measurements (`filter_stage`); rejected here is only what no threshold could bring back.

The order: size, repair, language, lines removed and signals measured (over one segmentation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from configs.schema.clean import Clean
from data_pipeline.clean import heuristics, language, repair
from data_pipeline.documents import SCHEMA, content_hash, source_column
from data_pipeline.outcome import Rejects, Tally

NAME = "clean"
RULE_VERSION = [1, repair.RULE_VERSION, language.RULE_VERSION, heuristics.RULE_VERSION]


@dataclass
class Cleaned:
    """kept: rows of SCHEMA. sizes: bytes of their texts. signals: float64 [rows] each. rejected: rows of REJECT_SCHEMA."""

    kept: pa.RecordBatch
    sizes: list[int]
    signals: dict[str, np.ndarray]
    rejected: pa.RecordBatch


def libraries(config: Clean) -> tuple[str, ...]:
    """Distributions whose versions decide what this stage hands on."""
    return (*(repair.LIBRARIES if config.repair else ()), *language.LIBRARIES, *heuristics.LIBRARIES)


def settings(config: Clean) -> dict[str, Any]:
    """The keys that decide texts and signals, as JSON: those of no rule that is decided later."""
    own = config.model_dump(mode="json", include={"max_bytes", "normalization", "repair"})
    return {**own, "heuristics": heuristics.settings(config)}


def signal_names(config: Clean) -> list[str]:
    """The signals measured under this configuration, in the order of their columns."""
    return ["language_score", *heuristics.SIGNALS]


def run(batch: pa.RecordBatch, source: str, config: Clean, tally: Tally, notes: dict[str, int]) -> Cleaned:
    """batch: CANDIDATE_SCHEMA. kept: with language and content hash filled in.

    Rejected: `max_bytes` (value: bytes), `empty` (after repair, or without a line left; value: bytes before). notes:
    counts of documents by what befell them, such as `repaired`.
    """
    rejects = Rejects(source, NAME)
    found = _Rows()
    rows = zip(*(batch.column(name).to_pylist() for name in ("id", "text", "url", "metadata", "offset")), strict=True)
    for id, text, url, metadata, offset in rows:
        entered = _bytes(text)
        if entered > config.max_bytes:
            rejects.add(id, url, "max_bytes", entered, text, offset)
            tally.reject("max_bytes", entered)
            continue
        text, mended = repair.repair(text, config)
        text = text.strip()
        if mended:
            note(notes, "repaired")
        code, score = language.detect(text) if text else ("", 0.0)
        found.add(id, text, url, metadata, offset, entered, code, score)
    texts = pa.array(found.texts, pa.large_string())
    measured = heuristics.measure(texts, found.languages, config)
    for what, count in measured.notes.items():
        notes[what] = notes.get(what, 0) + count
    return _cleaned(found, measured, source, rejects, tally)


class _Rows:
    """Documents that are neither too large nor rejected by their address, column by column."""

    def __init__(self) -> None:
        self.ids: list[bytes] = []
        self.texts: list[str] = []
        self.urls: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.offsets: list[int] = []
        self.entered: list[int] = []
        self.languages: list[str] = []
        self.scores: list[float] = []

    def add(
        self, id: bytes, text: str, url: str, metadata: Any, offset: int, entered: int, code: str, score: float
    ) -> None:
        self.ids.append(id)
        self.texts.append(text)
        self.urls.append(url)
        self.metadata.append(dict(metadata))
        self.offsets.append(offset)
        self.entered.append(entered)
        self.languages.append(code)
        self.scores.append(score)


def _cleaned(found: _Rows, measured: heuristics.Heuristics, source: str, rejects: Rejects, tally: Tally) -> Cleaned:
    texts = measured.texts.to_pylist()
    keep = [index for index, text in enumerate(texts) if text]
    for index, text in enumerate(texts):
        if not text:
            entered = found.entered[index]
            rejects.add(found.ids[index], found.urls[index], "empty", entered, found.texts[index], found.offsets[index])
            tally.reject("empty", entered)
    sizes = [_bytes(texts[index]) for index in keep]
    for index, left in zip(keep, sizes, strict=True):
        tally.keep(found.entered[index], left)
    hashed = [
        sorted({**found.metadata[index], "content_hash": content_hash(texts[index]).hex()}.items()) for index in keep
    ]
    columns = {
        "id": [found.ids[index] for index in keep],
        "text": [texts[index] for index in keep],
        "url": [found.urls[index] for index in keep],
        "source": source_column(source, len(keep)),
        "language": [found.languages[index] for index in keep],
        "metadata": hashed,
    }
    signals = {"language_score": np.array(found.scores), **measured.signals}
    return Cleaned(
        pa.RecordBatch.from_pydict(columns, schema=SCHEMA),
        sizes,
        {name: values[keep] for name, values in signals.items()},
        rejects.batch(),
    )


def note(notes: dict[str, int], what: str) -> None:
    """One more document of which this is true."""
    notes[what] = notes.get(what, 0) + 1


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
