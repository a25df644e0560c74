"""The lots of a unit's documents: the split each goes to, and its place in the order inside shards and samples.

One row per document of the unit, in order; nothing after it needs the decisions or the seed. How often a document stands
in the training split lies beside, in the file of `balance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline.balance import balance_path
from data_pipeline.columns import column
from data_pipeline.dedup.decisions import decisions_path
from data_pipeline.dedup.signatures import signatures_path
from data_pipeline.draw import fractions, lots
from data_pipeline.output import fingerprint, read_fingerprint, read_summary, write_arrow
from data_pipeline.pool import Job, advance
from data_pipeline.shards.schema import SPLITS
from data_pipeline.units import Unit, unit_path

VERSION = 2
"""Of the rule that draws; part of the fingerprint."""

LEFT_OUT = len(SPLITS)
"""The `split` of a document that deduplication or a cap rejected."""

_TRAIN = SPLITS.index("train")

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
    """The rows of a unit's file: uint8, uint64 and int64 [documents]. copies: uint16, how often each stands in its split:
    0 where it is left out, 1 outside of the training split."""

    split: np.ndarray
    lot: np.ndarray
    bytes: np.ndarray
    copies: np.ndarray


def lots_path(out: Path, unit: Unit) -> Path:
    """The unit's lots."""
    return unit_path(out / "work" / "lots", unit)


def read_lots(out: Path, unit: Unit) -> Lots:
    """The unit's lots."""
    path = lots_path(out, unit)
    split = column(path, "split")
    return Lots(split, column(path, "lot"), column(path, "bytes"), _copies(balance_path(out, unit), split))


def _copies(path: Path, split: np.ndarray) -> np.ndarray:
    copies = column(path, "copies")
    return np.where(split == _TRAIN, copies, np.minimum(copies, 1))


def process(job: Job) -> dict[str, Any]:
    """Draws for one unit; returns the summary: per split `documents` and `bytes` of text, with copies; `copies`, those of
    them beyond the first of each document; `mark`, what the copies are known by ("" without)."""
    decisions, signatures = decisions_path(job.out, job.unit), signatures_path(job.out, job.unit)
    balance = balance_path(job.out, job.unit)
    shares, seed = job.config.split, job.config.data.seed
    keep = column(balance, "copies") > 0
    sizes = column(signatures, "bytes")
    # By the content of the document kept of its cluster, so that copies never cross splits.
    u = fractions(seed, (row.tobytes() for row in column(decisions, "kept_content")))
    names = np.where(u < shares.test, "test", np.where(u < shares.test + shares.validation, "validation", "train"))
    split = np.select([~keep, *(names == name for name in SPLITS)], [LEFT_OUT, *range(len(SPLITS))]).astype(np.uint8)
    lot = lots(seed, (row.tobytes() for row in column(signatures, "id")))
    advance(job.unit.size)
    rows = pa.record_batch([pa.array(split), pa.array(lot), pa.array(sizes)], schema=LOTS_SCHEMA)
    copies = _copies(balance, split).astype(np.int64)
    summary: dict[str, Any] = {}
    for index, name in enumerate(SPLITS):
        mine = split == index
        summary[name] = {"documents": int(copies[mine].sum()), "bytes": int((copies * sizes)[mine].sum())}
    more = np.maximum(copies - 1, 0)
    summary["copies"] = {"documents": int(more.sum()), "bytes": int((more * sizes).sum())}
    summary["mark"] = read_summary(balance)["content"] if more.any() else ""
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
        balance=read_summary(balance_path(job.out, job.unit))["content"],
        signatures=read_summary(signatures_path(job.out, job.unit))["content"],
    )
