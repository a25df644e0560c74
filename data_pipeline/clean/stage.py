"""Cleaning: repair, language and quality rules on each document, over one segmentation of its text."""

from __future__ import annotations

import pyarrow as pa

from configs.schema.clean import Clean
from data_pipeline.clean import gopher_quality, language, repair, segmentation
from data_pipeline.clean.segmentation import Segmentation
from data_pipeline.documents import SCHEMA, content_hash, source_column
from data_pipeline.outcome import Outcome, Rejects, Tally

NAME = "clean"
RULE_VERSION = [
    repair.RULE_VERSION,
    language.RULE_VERSION,
    segmentation.RULE_VERSION,
    gopher_quality.RULE_VERSION,
]


def libraries(config: Clean) -> tuple[str, ...]:
    """Distributions whose versions decide what this stage keeps."""
    return (*(repair.LIBRARIES if config.repair else ()), *language.LIBRARIES)


def run(batch: pa.RecordBatch, source: str, config: Clean, tally: Tally, notes: dict[str, int]) -> Outcome:
    """batch: CANDIDATE_SCHEMA. kept: SCHEMA, with language and content hash filled in.

    Rejected, by the first rule that refuses: `max_bytes` (value: bytes), `empty` (after repair), `language` (value:
    its score), and those of `gopher_quality.RULES`. notes: counts of documents by what else befell them, such as
    `repaired` and `language en`.
    """
    kept: dict[str, list] = {name: [] for name in SCHEMA.names if name != "source"}
    rejects = Rejects(source, NAME)
    rows = zip(*(batch.column(name).to_pylist() for name in ("id", "text", "url", "metadata", "offset")), strict=True)
    for id, text, url, metadata, offset in rows:
        entered = _bytes(text)
        if entered > config.max_bytes:
            refused: tuple[str, float] | None = ("max_bytes", entered)
            code = ""
        else:
            text, mended = repair.repair(text, config)
            text = text.strip()
            if mended:
                _note(notes, "repaired")
            code, refused = _judge(text, config)
        if refused is not None:
            reason, value = refused
            rejects.add(id, url, reason, value, text, offset)
            tally.reject(reason, entered)
            continue
        _note(notes, f"language {code or 'unknown'}")
        kept["id"].append(id)
        kept["text"].append(text)
        kept["url"].append(url)
        kept["language"].append(code)
        kept["metadata"].append(sorted({**dict(metadata), "content_hash": content_hash(text).hex()}.items()))
        tally.keep(entered, _bytes(text))
    columns = kept | {"source": source_column(source, len(kept["id"]))}
    return Outcome(pa.RecordBatch.from_pydict(columns, schema=SCHEMA), rejects.batch())


def _judge(text: str, config: Clean) -> tuple[str, tuple[str, float] | None]:
    """The language of a repaired text, and reason and value if a rule refuses it."""
    if not text:
        return "", ("empty", 0.0)
    code = ""
    if config.languages:
        code, score = _language(text, config)
        if code not in config.languages:
            return code, ("language", score)
    if config.gopher_quality.enabled:
        refused = gopher_quality.judge(Segmentation(text), config.gopher_quality)
        if refused is not None:
            return code, refused
    # Where no language is asked for, only what is kept needs one.
    return code if config.languages else _language(text, config)[0], None


def _language(text: str, config: Clean) -> tuple[str, float]:
    """Code and score; the code is "" where the score is below `min_language_score`."""
    code, score = language.detect(text)
    return code if score >= config.min_language_score else "", score


def _note(notes: dict[str, int], what: str) -> None:
    notes[what] = notes.get(what, 0) + 1


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
