"""What a stage makes of a batch: kept rows, rejected rows with reason and measured value, and their counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from data_pipeline.documents import REJECT_SCHEMA, REJECT_TEXT_CHARACTERS, source_column


@dataclass
class Tally:
    """Documents and bytes through one stage. Documents in = kept + rejected, always; bytes are those that entered
    for what was rejected, and those that left for what was kept."""

    documents: dict[str, Any] = field(default_factory=lambda: {"in": 0, "kept": 0, "rejected": {}})
    bytes: dict[str, Any] = field(default_factory=lambda: {"in": 0, "kept": 0, "rejected": {}})

    def keep(self, entered: int, left: int) -> None:
        """One document of `entered` bytes leaves the stage with `left` bytes."""
        for count, before, after in ((self.documents, 1, 1), (self.bytes, entered, left)):
            count["in"] += before
            count["kept"] += after

    def reject(self, reason: str, entered: int) -> None:
        for count, by in ((self.documents, 1), (self.bytes, entered)):
            count["in"] += by
            count["rejected"][reason] = count["rejected"].get(reason, 0) + by

    def as_json(self) -> dict[str, Any]:
        return {
            name: {**count, "rejected": dict(sorted(count["rejected"].items()))}
            for name, count in (("documents", self.documents), ("bytes", self.bytes))
        }


@dataclass
class Outcome:
    """kept: rows in the stage's own schema. rejected: rows of REJECT_SCHEMA. Both in the order they came."""

    kept: pa.RecordBatch
    rejected: pa.RecordBatch


class Rejects:
    """Collects the rejected rows of one stage."""

    def __init__(self, source: str, stage: str) -> None:
        self._source, self._stage = source, stage
        self._rows: list[tuple[bytes, str, str, float, str, int, list[tuple[int, int, str]]]] = []

    def add(
        self,
        id: bytes,
        url: str,
        reason: str,
        value: float,
        text: str,
        offset: int,
        spans: Iterable[tuple[int, int, str]] = (),
    ) -> None:
        """spans: (start, end, kind) of what the rule found in the text."""
        self._rows.append((id, url, reason, value, text[:REJECT_TEXT_CHARACTERS], offset, list(spans)))

    def batch(self) -> pa.RecordBatch:
        ids, urls, reasons, values, texts, offsets, spans = (
            zip(*self._rows, strict=True) if self._rows else ((), (), (), (), (), (), ())
        )
        columns = {
            "id": ids,
            "url": urls,
            "source": source_column(self._source, len(ids)),
            "stage": [self._stage] * len(ids),
            "reason": reasons,
            "value": values,
            "text": texts,
            "offset": offsets,
            "spans": [[{"start": start, "end": end, "kind": kind} for start, end, kind in found] for found in spans],
        }
        return pa.RecordBatch.from_pydict(columns, schema=REJECT_SCHEMA)
