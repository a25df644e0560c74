"""Decision files: for each document of a unit whether it stays, and for which other one it went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from configs.schema.data import Dedup
from data_pipeline.columns import column
from data_pipeline.dedup import clusters, exact
from data_pipeline.dedup.signatures import signatures_path
from data_pipeline.output import fingerprint, read_fingerprint, read_summary, write_arrow
from data_pipeline.progress import Progress
from data_pipeline.units import Unit, unit_path

VERSION = 1
"""Of the rules that decide; part of the fingerprint."""

DECISION_SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("kept_id", pa.binary(16), nullable=False),
        pa.field("kept_content", pa.binary(16), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One row per document of the unit, in order. kept_id, kept_content: of the document kept of its cluster (its own for a
kept one). reason: "" for a kept one."""


def decisions_path(out: Path, unit: Unit) -> Path:
    """The unit's decisions."""
    return unit_path(out / "work" / "decisions", unit)


def decide(
    out: Path, units: Sequence[Unit], signatures: Sequence[dict[str, Any]], settings: Dedup, report: Progress
) -> list[dict[str, Any]]:
    """Writes the decision file of each unit; returns their summaries in the order of `units`.

    signatures: the summaries of the units' signature files. A summary holds `documents` and `bytes` (of text), each
    with `in`, `kept` and `rejected` by reason. Of equal texts the first in unit order stays.
    """
    mark = fingerprint(
        stage="decisions",
        version=VERSION,
        dedup=settings.model_dump(mode="json"),
        signatures=[[unit.source, summary["content"]] for unit, summary in zip(units, signatures, strict=True)],
    )
    paths = [decisions_path(out, unit) for unit in units]
    results = [read_summary(path) if read_fingerprint(path) == mark else None for path in paths]
    todo = [index for index, result in enumerate(results) if result is None]
    if len(todo) < len(units):
        report.say(f"dedup: {len(units) - len(todo)} of {len(units)} units are finished already, {len(todo)} to do")
    if todo:
        counts = [summary["rows"] for summary in signatures]
        with report.stage("dedup", sum(counts[index] for index in todo), "documents") as stage:
            sources = [signatures_path(out, unit) for unit in units]
            found = exact.edges(sources, counts) if settings.exact else np.empty((0, 2), np.int64)
            groups = clusters.cluster(found)
            kept = _Kept(groups, sources, counts)
            starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
            for index in todo:
                results[index] = _write(paths[index], sources[index], int(starts[index]), groups, kept, mark)
                stage.advance(counts[index])
    return [result for result in results if result is not None]


class _Kept:
    """Id and content of the documents that were kept for another."""

    def __init__(self, groups: clusters.Clusters, sources: Sequence[Path], counts: Sequence[int]) -> None:
        self.numbers = np.unique(groups.kept)
        self._ids = np.empty((len(self.numbers), 16), np.uint8)
        self._contents = np.empty((len(self.numbers), 16), np.uint8)
        start = 0
        for path, count in zip(sources, counts, strict=True):
            a, b = np.searchsorted(self.numbers, [start, start + count])
            if a < b:
                rows = self.numbers[a:b] - start
                self._ids[a:b] = column(path, "id")[rows]
                self._contents[a:b] = column(path, "content")[rows]
            start += count

    def of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        places = np.searchsorted(self.numbers, numbers)
        return self._ids[places], self._contents[places]


def _write(path: Path, source: Path, start: int, groups: clusters.Clusters, kept: _Kept, mark: str) -> dict[str, Any]:
    ids, contents, sizes = column(source, "id"), column(source, "content").copy(), column(source, "bytes")
    count = len(ids)
    gone, stays = groups.of(start, count)
    keep = np.ones(count, bool)
    keep[gone] = False
    kept_ids = ids.copy()
    kept_ids[gone], contents[gone] = kept.of(stays)
    rows = pa.record_batch(
        [
            _binary(ids),
            pa.array(keep),
            _binary(kept_ids),
            _binary(contents),
            pa.array(["" if k else exact.REASON for k in keep.tolist()], pa.string()),
        ],
        schema=DECISION_SCHEMA,
    )
    rejected = int(count - keep.sum()), int(sizes[~keep].sum())
    summary = {
        name: {"in": total, "kept": total - less, "rejected": {exact.REASON: less} if rejected[0] else {}}
        for name, total, less in (("documents", count, rejected[0]), ("bytes", int(sizes.sum()), rejected[1]))
    }
    return write_arrow(path, DECISION_SCHEMA, [rows], mark, lambda: summary)


def _binary(rows: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(16), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))])
