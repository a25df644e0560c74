"""Signatures: what deduplication needs of a unit's documents, so that no later stage of it reads their texts.

One row per document of the unit that the rules keep, in order. A further kind of duplicate adds its columns here
(MinHash: its bands).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from data_pipeline.documents import content_hash
from data_pipeline.kept import kept_batches, kept_content
from data_pipeline.output import fingerprint, read_fingerprint, read_summary, write_arrow
from data_pipeline.pool import Job, advance
from data_pipeline.units import Unit, unit_path

VERSION = 1
"""Of what a signature holds; part of its fingerprint."""

SIGNATURE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("content", pa.binary(16), nullable=False),
        pa.field("text", pa.binary(16), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)
"""content: hash of the normalised text. text: xxh3-128 of the text as it is. bytes: of the text in UTF-8."""


def signatures_path(out: Path, unit: Unit) -> Path:
    """The unit's signatures."""
    return unit_path(out / "work" / "signatures", unit)


def process(job: Job) -> dict[str, Any]:
    """Writes the signatures of one unit; returns their summary."""
    total = 0

    def rows() -> Iterator[pa.RecordBatch]:
        nonlocal total
        for batch in kept_batches(job.out, job.unit):
            result = sign(batch)
            total += int(pc.sum(result.column("bytes")).as_py() or 0)
            advance(batch.nbytes)
            yield result

    path = signatures_path(job.out, job.unit)
    return write_arrow(path, SIGNATURE_SCHEMA, rows(), _fingerprint(job), lambda: {"bytes": total})


def finished(job: Job) -> dict[str, Any] | None:
    """The summary of the unit's signatures if they are those of its documents as they are now, else None."""
    path = signatures_path(job.out, job.unit)
    return read_summary(path) if read_fingerprint(path) == _fingerprint(job) else None


def sign(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The signatures of a batch of documents."""
    texts = batch.column("text")
    stored = pc.map_lookup(batch.column("metadata"), pa.scalar("content_hash"), "first")
    contents = [
        bytes.fromhex(known) if known else content_hash(texts[i].as_py()) for i, known in enumerate(stored.to_pylist())
    ]
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = memoryview(texts.buffers()[2] or b"")
    digests = [
        xxhash.xxh3_128_digest(data[a:b]) for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    return pa.record_batch(
        [
            batch.column("id"),
            pa.array(contents, pa.binary(16)),
            pa.array(digests, pa.binary(16)),
            pa.array(np.diff(offsets)),
        ],
        schema=SIGNATURE_SCHEMA,
    )


def _fingerprint(job: Job) -> str:
    return fingerprint(stage="signatures", version=VERSION, documents=kept_content(job.out, job.unit))
