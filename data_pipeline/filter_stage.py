"""The second phase: signals to verdicts. Texts are not read: a changed threshold costs seconds.

work/verdicts/... holds one row per document of the unit, in order. Its summary:

```
{"documents": count, "bytes": count, "kept": xxh3 of the rows kept,
 "rules": {reason: {"refused", "only"}}, "languages": {code: {"in", "kept", "bytes_in", "bytes_kept"}},
 "domains": counts of documents, of those kept, of bytes, of those kept}
```
with a count as in `account`, and domains as in `domain_counts`: a large table, which the file alone holds. refused:
documents that the rule refuses, whichever refused them first, and of rules that are switched off what they would; only:
those that no other rule in force refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from configs.schema.clean import Clean
from data_pipeline import domain_counts
from data_pipeline.clean import rules
from data_pipeline.output import fingerprint, read_batches, read_fingerprint, read_summary, write_arrow
from data_pipeline.pool import Job, advance
from data_pipeline.signals import measured, signals_path
from data_pipeline.units import Unit, unit_path

NAME = "filter"
VERSION = 2
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
    judge = _Judge(job.config.clean)

    def rows() -> Iterator[pa.RecordBatch]:
        yield from map(judge.verdicts, read_batches(signals_path(job.out, job.unit)))

    def summary() -> dict[str, Any]:
        advance(job.unit.size)
        return judge.summary()

    path = verdicts_path(job.out, job.unit)
    return _told(write_arrow(path, VERDICT_SCHEMA, rows(), _fingerprint(job), summary))


def preview(job: Job) -> dict[str, Any]:
    """The summary that `process` would return, but for `rows` and `content`; nothing is written."""
    judge = _Judge(job.config.clean)
    for batch in read_batches(signals_path(job.out, job.unit)):
        judge.verdicts(batch)
    advance(job.unit.size)
    return _told(judge.summary())


def finished(job: Job) -> dict[str, Any] | None:
    """The summary of verdicts that follow from the unit's signals and the rules as they are now, else None."""
    path = verdicts_path(job.out, job.unit)
    return _told(read_summary(path)) if read_fingerprint(path) == _fingerprint(job) else None


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """What a run holds of every unit at a time."""
    return {key: value for key, value in summary.items() if key != "domains"}


class _Judge:
    """Decides batch by batch, and counts."""

    def __init__(self, clean: Clean) -> None:
        self._clean = clean
        self._table = rules.in_force(clean)
        self._reasons = pa.array(["", LANGUAGE, *(rule.reason for rule in self._table)], pa.string())
        self._counts = np.zeros(len(self._reasons), np.int64)
        self._sizes = np.zeros(len(self._reasons), np.int64)
        self._kept = xxhash.xxh3_128()
        self._rules: dict[str, dict[str, int]] = {}
        self._languages: dict[str, dict[str, int]] = {}
        self._domains = domain_counts.Counter()

    def verdicts(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of VERDICT_SCHEMA for a batch of signals."""
        signals, sizes = measured(batch), batch.column("bytes").to_numpy()
        refused, values = rules.judge(signals, self._table, self._clean)
        place = np.where(refused < 0, 0, refused + 2).astype(np.int32)
        other = self._other_language(batch, signals)
        place, values = np.where(other, np.int32(1), place), np.where(other, signals["language_score"], values)
        keep = place == 0
        self._counts += np.bincount(place, minlength=len(self._counts))
        self._sizes += np.bincount(place, sizes, len(self._sizes)).astype(np.int64)
        self._kept.update(keep.tobytes())
        self._count_rules(signals, other)
        self._count_languages(batch, keep, sizes)
        self._domains.add(batch.column("domain"), np.ones(len(batch)), keep, sizes, sizes * keep)
        return pa.RecordBatch.from_arrays(
            [
                batch.column("id"),
                pa.array(keep),
                pa.DictionaryArray.from_arrays(pa.array(place), self._reasons),
                pa.array(values),
            ],
            schema=VERDICT_SCHEMA,
        )

    def summary(self) -> dict[str, Any]:
        return {
            "documents": _count(self._counts, self._reasons),
            "bytes": _count(self._sizes, self._reasons),
            "kept": self._kept.hexdigest(),
            "rules": self._rules,
            "languages": dict(sorted(self._languages.items())),
            "domains": self._domains.as_json(),
        }

    def _other_language(self, batch: pa.RecordBatch, signals: dict[str, np.ndarray]) -> np.ndarray:
        """bool [documents]: in no language of `clean.languages`, or not surely enough."""
        if not self._clean.languages:
            return np.zeros(len(batch), bool)
        listed = pc.is_in(batch.column("language"), pa.array(self._clean.languages, pa.string()))
        unsure = signals["language_score"] < self._clean.min_language_score
        return ~listed.to_numpy(zero_copy_only=False) | unsure

    def _count_rules(self, signals: dict[str, np.ndarray], other: np.ndarray) -> None:
        refusing = other.astype(np.int32)
        each = {LANGUAGE: other}
        for rule in rules.known(self._clean):
            if rule.signal in signals:
                each[rule.reason] = rules.refuses(rule, signals, self._clean)
        enabled = {LANGUAGE, *(rule.reason for rule in self._table)}
        for reason in enabled & each.keys() - {LANGUAGE}:
            refusing += each[reason]
        for reason, refused in each.items():
            count = self._rules.setdefault(reason, {"refused": 0, "only": 0})
            count["refused"] += int(refused.sum())
            if reason in enabled:
                count["only"] += int((refused & (refusing == 1)).sum())

    def _count_languages(self, batch: pa.RecordBatch, keep: np.ndarray, sizes: np.ndarray) -> None:
        coded = batch.column("language").dictionary_encode()
        codes = coded.indices.to_numpy()
        for index, code in enumerate(coded.dictionary.to_pylist()):
            mine = codes == index
            found = self._languages.setdefault(code, {"in": 0, "kept": 0, "bytes_in": 0, "bytes_kept": 0})
            found["in"] += int(mine.sum())
            found["kept"] += int((mine & keep).sum())
            found["bytes_in"] += int(sizes[mine].sum())
            found["bytes_kept"] += int(sizes[mine & keep].sum())


def _fingerprint(job: Job) -> str:
    clean = job.config.clean
    return fingerprint(
        stage=NAME,
        version=[VERSION, rules.RULE_VERSION],
        languages=[sorted(clean.languages), clean.min_language_score] if clean.languages else None,
        rules=[rules.thresholds(rule, clean) for rule in rules.in_force(clean)],
        counted=[rules.thresholds(rule, clean) for rule in rules.known(clean)],
        signals=read_summary(signals_path(job.out, job.unit))["content"],
    )


def _count(numbers: np.ndarray, reasons: pa.Array) -> dict[str, Any]:
    rejected = {reason: int(n) for reason, n in zip(reasons.to_pylist()[1:], numbers[1:], strict=True) if n}
    return {"in": int(numbers.sum()), "kept": int(numbers[0]), "rejected": dict(sorted(rejected.items()))}
