"""The last phase of a run that ends with documents: what was kept of each unit, as a Parquet file.

documents/SOURCE/... holds rows of documents.SCHEMA in the order of the unit. A unit of which nothing was kept has a
file without rows: it too is finished.

work/files/... holds what was written of each, with the hash of its bytes as they were: a file that is damaged later is
never listed as if it were sound.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline.balance import balance_path
from data_pipeline.columns import column
from data_pipeline.documents import SCHEMA
from data_pipeline.documents_manifest import FileEntry
from data_pipeline.kept import kept_batches, kept_content
from data_pipeline.output import (
    FINGERPRINT_KEY,
    AtomicFile,
    fingerprint,
    read_fingerprint,
    read_summary,
    write_arrow,
)
from data_pipeline.pool import Job, advance
from data_pipeline.shards.atomic import PARTIAL, file_xxh3
from data_pipeline.units import Unit, unit_path

VERSION = 2
FOLDER = "documents"


def parquet_path(out: Path, unit: Unit) -> Path:
    """Where the unit's Parquet file lies."""
    return unit_path(out / FOLDER, unit, ".parquet")


def _record_path(job: Job) -> Path:
    return unit_path(job.out / "work" / "files", job.unit)


def process(job: Job) -> dict[str, Any]:
    """Writes the file of one unit; returns its summary: `documents` and `bytes` (of text), as counts, and its entry."""
    path = parquet_path(job.out, job.unit)
    keep = column(balance_path(job.out, job.unit), "copies") > 0
    target = AtomicFile(path)
    documents = size = start = 0
    try:
        with target._faults():
            schema = SCHEMA.with_metadata({FINGERPRINT_KEY: _fingerprint(job).encode()})
            writer = pq.ParquetWriter(target.file, schema, compression="zstd", write_page_checksum=True)
            for batch in kept_batches(job.out, job.unit):
                mine = keep[start : start + len(batch)]
                start += len(batch)
                advance(batch.nbytes)
                if not mine.any():
                    continue
                rows = batch if mine.all() else batch.filter(pa.array(mine))
                documents += len(rows)
                size += int(pc.sum(pc.binary_length(rows.column("text"))).as_py())
                writer.write_batch(rows.replace_schema_metadata(schema.metadata))
            writer.close()
        target.commit()
    finally:
        target.abandon()
    entry = FileEntry(
        path=str(path.relative_to(job.out)).replace(os.sep, "/"),
        source=job.unit.source,
        documents=documents,
        text_bytes=size,
        bytes=path.stat().st_size,
        xxh3=file_xxh3(path),
    )
    found = {"documents": _count(documents), "bytes": _count(size), "entry": asdict(entry)}
    return _read(write_arrow(_record_path(job), pa.schema([]), [], _fingerprint(job), lambda: found))


def finished(job: Job) -> dict[str, Any] | None:
    """The summary of a unit's file if it is there and follows from what is kept now, else None. Rows are not reread."""
    key, path = _fingerprint(job), parquet_path(job.out, job.unit)
    if read_fingerprint(_record_path(job)) != key:
        return None
    found = _read(read_summary(_record_path(job)))
    try:
        known = pq.read_metadata(path).metadata or {}
        same = known.get(FINGERPRINT_KEY) == key.encode() and path.stat().st_size == found["entry"].bytes
    except (OSError, pa.ArrowException):
        return None
    return found if same else None


def stale_files(out: Path, units: Sequence[Unit]) -> list[Path]:
    """Parquet files of units that the corpus no longer has."""
    expected = {parquet_path(out, unit) for unit in units}
    found = sorted(path for path in (out / FOLDER).rglob("*") if path.is_file())
    return [path for path in found if path not in expected and not path.name.endswith(PARTIAL)]


def versions() -> dict[str, str]:
    """Libraries whose version decides the bytes of a file."""
    return {"pyarrow": version("pyarrow")}


def _read(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "entry": FileEntry(**record["entry"])}


def _count(number: int | np.integer) -> dict[str, Any]:
    return {"in": int(number), "kept": int(number), "rejected": {}}


def _fingerprint(job: Job) -> str:
    return fingerprint(
        stage="parquet",
        version=VERSION,
        documents=kept_content(job.out, job.unit),
        balance=read_summary(balance_path(job.out, job.unit))["content"],
        versions=versions(),
    )
