"""The documents of a unit that the rules keep: what every phase after the filter reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from configs.errors import MachineError
from data_pipeline.columns import column
from data_pipeline.documents_stage import documents_path
from data_pipeline.filter_stage import verdicts_path
from data_pipeline.output import fingerprint, read_batches, read_summary
from data_pipeline.units import Unit


def kept_content(out: Path, unit: Unit) -> str:
    """32 hex digits that name the kept documents of the unit: equal for equal rows kept, whatever refused the others."""
    documents, verdicts = read_summary(documents_path(out, unit)), read_summary(verdicts_path(out, unit))
    return fingerprint(documents=documents["content"], kept=verdicts["kept"])


def kept_batches(out: Path, unit: Unit) -> Iterator[pa.RecordBatch]:
    """Rows of documents.SCHEMA, in order. No batch is empty. MachineError: the verdicts are those of other documents."""
    path = verdicts_path(out, unit)
    keep = column(path, "keep")
    if len(keep) != read_summary(documents_path(out, unit))["rows"]:
        go_on = "`millrace data run CONFIG` decides on these documents again"
        raise MachineError("the verdicts are those of other documents", str(path), go_on=go_on)
    start = 0
    for batch in read_batches(documents_path(out, unit)):
        mine = keep[start : start + len(batch)]
        start += len(batch)
        if mine.all():
            yield batch
        elif mine.any():
            yield batch.filter(pa.array(mine))
