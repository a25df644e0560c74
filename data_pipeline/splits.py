"""The lots of a unit's documents: the split each goes to, and its place in the order inside shards and samples.

One row per document of the unit, in order; nothing after it needs the decisions or the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.columns import column
from data_pipeline.dedup.decisions import decisions_path
from data_pipeline.dedup.signatures import signatures_path
from data_pipeline.draw import fractions, lots
from data_pipeline.output import fingerprint, read_fingerprint, read_summary, write_arrow
from data_pipeline.pool import Job, advance
from data_pipeline.shards.schema import SPLITS
from data_pipeline.units import Unit, unit_path

VERSION = 1
"""Of the rule that draws; part of the fingerprint."""

LEFT_OUT = len(SPLITS)
"""The `split` of a document that deduplication rejected."""

LOTS_SCHEMA = pa.schema(
    [
        pa.field("split", pa.uint8(), nullable=False),
        pa.field("lot", pa.uint64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)
"""split: place in SPLITS, or LEFT_OUT. lot: of the id. bytes: of the text in UTF-8."""


@dataclass(frozen=True)
class Lots:
    """The rows of a unit's file: uint8, uint64 and int64 [documents]."""

    split: np.ndarray
    lot: np.ndarray
    bytes: np.ndarray


def lots_path(out: Path, unit: Unit) -> Path:
    """The unit's lots."""
    return unit_path(out / "work" / "lots", unit)


def read_lots(out: Path, unit: Unit) -> Lots:
    """The unit's lots."""
    path = lots_path(out, unit)
    return Lots(column(path, "split"), column(path, "lot"), column(path, "bytes"))


def process(job: Job) -> dict[str, Any]:
    """Draws for one unit; returns the summary: per split `documents` and `bytes` of text."""
    decisions, signatures = decisions_path(job.out, job.unit), signatures_path(job.out, job.unit)
    shares, seed = job.config.split, job.config.data.seed
    keep = column(decisions, "keep")
    sizes = column(signatures, "bytes")
    # By the content of the document kept of its cluster, so that copies never cross splits.
    u = fractions(seed, (row.tobytes() for row in column(decisions, "kept_content")))
    names = np.where(u < shares.test, "test", np.where(u < shares.test + shares.validation, "validation", "train"))
    split = np.select([~keep, *(names == name for name in SPLITS)], [LEFT_OUT, *range(len(SPLITS))]).astype(np.uint8)
    lot = lots(seed, (row.tobytes() for row in column(signatures, "id")))
    advance(job.unit.size)
    rows = pa.record_batch([pa.array(split), pa.array(lot), pa.array(sizes)], schema=LOTS_SCHEMA)
    summary = {
        name: {"documents": int(np.count_nonzero(split == index)), "bytes": int(sizes[split == index].sum())}
        for index, name in enumerate(SPLITS)
    }
    return write_arrow(lots_path(job.out, job.unit), LOTS_SCHEMA, [rows], _fingerprint(job), lambda: summary)


def finished(job: Job) -> dict[str, Any] | None:
    """The summary of the unit's lots if they follow from its decisions as they are now, else None."""
    path = lots_path(job.out, job.unit)
    return read_summary(path) if read_fingerprint(path) == _fingerprint(job) else None


def _fingerprint(job: Job) -> str:
    return fingerprint(
        stage="lots",
        version=VERSION,
        seed=job.config.data.seed,
        split=job.config.split.model_dump(mode="json"),
        decisions=read_summary(decisions_path(job.out, job.unit))["content"],
        signatures=read_summary(signatures_path(job.out, job.unit))["content"],
    )
