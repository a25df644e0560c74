"""The second phase: signals to verdicts. Texts are not read: a changed threshold costs seconds.

work/verdicts/... holds one row per document of the unit, in order. Its summary:

```
{"documents": count, "bytes": count, "kept": xxh3 of the rows kept}
```
with a count as in `account`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from configs.schema.clean import Clean
from data_pipeline.clean import rules
from data_pipeline.output import fingerprint, read_batches, read_fingerprint, read_summary, write_arrow
from data_pipeline.pool import Job, advance
from data_pipeline.signals import measured, signals_path
from data_pipeline.units import Unit, unit_path

NAME = "filter"
LANGUAGE = "language"
"""The reason of a document in no language of `clean.languages`; its value is the score of the language found."""

VERDICT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("reason", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
"""reason: of the first rule that refuses the document, "" for a kept one. value: what that rule measured."""


def verdicts_path(out: Path, unit: Unit) -> Path:
    """Where the unit's verdicts lie."""
    return unit_path(out / "work" / "verdicts", unit)


def process(job: Job) -> dict[str, Any]:
    """Decides on every document of one unit; returns the summary."""
    clean = job.config.clean
    table = rules.in_force(clean)
    reasons = pa.array(["", LANGUAGE, *(rule.reason for rule in table)], pa.string())
    counts = np.zeros(len(reasons), np.int64)
    sizes = np.zeros(len(reasons), np.int64)
    kept = xxhash.xxh3_128()

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in read_batches(signals_path(job.out, job.unit)):
            place, values = _judge(batch, table, clean)
            counts[:] += np.bincount(place, minlength=len(counts))
            sizes[:] += np.bincount(place, batch.column("bytes").to_numpy(), len(sizes)).astype(np.int64)
            kept.update((place == 0).tobytes())
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column("id"),
                    pa.array(place == 0),
                    pa.DictionaryArray.from_arrays(pa.array(place), reasons),
                    pa.array(values),
                ],
                schema=VERDICT_SCHEMA,
            )

    def summary() -> dict[str, Any]:
        advance(job.unit.size)
        return {
            "documents": _count(counts, reasons),
            "bytes": _count(sizes, reasons),
            "kept": kept.hexdigest(),
        }

    return write_arrow(verdicts_path(job.out, job.unit), VERDICT_SCHEMA, rows(), _fingerprint(job), summary)


def finished(job: Job) -> dict[str, Any] | None:
    """The summary of verdicts that follow from the unit's signals and the rules as they are now, else None."""
    path = verdicts_path(job.out, job.unit)
    return read_summary(path) if read_fingerprint(path) == _fingerprint(job) else None


def _judge(batch: pa.RecordBatch, table: Sequence[rules.Rule], clean: Clean) -> tuple[np.ndarray, np.ndarray]:
    """int32 [documents]: 0 for a kept document, else the place of its reason; and the value measured."""
    signals = measured(batch)
    refused, values = rules.judge(signals, table, clean)
    place = np.where(refused < 0, 0, refused + 2).astype(np.int32)
    if clean.languages:
        codes, scores = batch.column("language"), signals["language_score"]
        listed = pc.is_in(codes, pa.array(clean.languages, pa.string())).to_numpy(zero_copy_only=False)
        other = ~listed | (scores < clean.min_language_score)
        place, values = np.where(other, np.int32(1), place), np.where(other, scores, values)
    return place, values


def _fingerprint(job: Job) -> str:
    clean = job.config.clean
    return fingerprint(
        stage=NAME,
        version=rules.RULE_VERSION,
        languages=[sorted(clean.languages), clean.min_language_score] if clean.languages else None,
        rules=[rules.thresholds(rule, clean) for rule in rules.in_force(clean)],
        signals=read_summary(signals_path(job.out, job.unit))["content"],
    )


def _count(numbers: np.ndarray, reasons: pa.Array) -> dict[str, Any]:
    rejected = {reason: int(n) for reason, n in zip(reasons.to_pylist()[1:], numbers[1:], strict=True) if n}
    return {"in": int(numbers.sum()), "kept": int(numbers[0]), "rejected": dict(sorted(rejected.items()))}
