"""The first phase: an input unit to clean documents, their signals, and rejects, in one pass over its bytes.

work/documents/... holds the documents (SCHEMA), work/signals/... what was measured of each (`signals`), on which the next
phase decides, and how it spreads (`spread`); work/rejects/... (REJECT_SCHEMA) those that no threshold could keep. The
summary that documents and rejects carry:

```
{"unit": "...", "read": {"input_bytes", "records", "skipped": {kind: count}, "damaged": {kind: {"count", "first_path",
 "first_offset", "message"}}}, "stages": {"extract": {"documents": count, "bytes": count}, "clean": {...}},
 "notes": {"repaired": count, "language en": count, ...}}
```
with a count as in `account`. Records read = skipped + damaged + documents in, but for lines and streams that are
damaged before they are records.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import MachineError
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline import account, spread
from data_pipeline.clean import stage as clean
from data_pipeline.documents import REJECT_SCHEMA, SCHEMA
from data_pipeline.extract import stage as extract
from data_pipeline.outcome import Tally
from data_pipeline.output import ArrowOutput, fingerprint, read_fingerprint, read_summary
from data_pipeline.pool import Job
from data_pipeline.shards.atomic import file_xxh3
from data_pipeline.signals import signals_batch, signals_path, signals_schema
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.registry import read, reader_of
from data_pipeline.sources.remote import named
from data_pipeline.spread import Spread
from data_pipeline.units import Unit, unit_path

RULE_VERSION = 1
library_version = cache(version)
_BATCH_RECORDS = 1000
_BATCH_BYTES = 4_000_000


def documents_path(out: Path, unit: Unit) -> Path:
    """Where the unit's kept documents lie."""
    return unit_path(out / "work" / "documents", unit)


def rejects_path(out: Path, unit: Unit) -> Path:
    """Where the unit's rejected documents lie."""
    return unit_path(out / "work" / "rejects", unit)


def documents_fingerprint(config: Config, unit: Unit) -> str:
    """Of the unit's bytes, the keys that decide what becomes of them, and the versions of rules and libraries."""
    source = _source(config, unit)
    reader = reader_of(source.type)
    libraries = {*reader.LIBRARIES, *extract.libraries(config.extract), *clean.libraries(config.clean)}
    return fingerprint(
        stage="documents",
        input=unit.identity,
        source=source.content(),
        extract=config.extract.model_dump(),
        clean=clean.settings(config.clean),
        rules=[RULE_VERSION, reader.RULE_VERSION, extract.RULE_VERSION, clean.RULE_VERSION],
        files=file_hashes(config),
        libraries=_versions(libraries),
    )


def process(job: Job) -> dict[str, Any]:
    """Reads the unit, writes its documents and rejects, returns the summary. Damage in the input is counted, never
    raised; MachineError where the input is gone or the outputs cannot be written."""
    config, unit = job.config, job.unit
    source = _source(config, unit)
    key = documents_fingerprint(config, unit)
    _forget_changed(file_hashes(config))
    tally, extracted, cleaned = SourceTally(), Tally(), Tally()
    notes: dict[str, int] = {}
    spreads: dict[str, Spread] = {}
    records = read(unit, source, Limits.of(config.clean.max_bytes), tally, job.out / "work" / "inputs")
    if not unit.size:
        tally.damage("empty file", unit.relative_path, 0, "0 bytes")
    schema = signals_schema(clean.signal_names(config.clean))
    with (
        ArrowOutput(documents_path(job.out, unit), SCHEMA, key) as documents,
        ArrowOutput(signals_path(job.out, unit), schema, key) as signals,
        ArrowOutput(rejects_path(job.out, unit), REJECT_SCHEMA, key) as rejects,
    ):
        for some in _batches(_or_fault(records, unit)):
            found = extract.run(some, source, config.extract, extracted)
            some.clear()  # large records are not held beside their texts
            made = clean.run(found.kept, source.name, config.clean, cleaned, notes)
            documents.write(made.kept)
            signals.write(signals_batch(schema, made.kept, made.sizes, made.domains, made.signals))
            for name, values in {"bytes": np.array(made.sizes, np.float64), **made.signals}.items():
                spreads[name] = spread.add([spreads.get(name, {}), spread.spread(values)])
            rejects.write(found.rejected)
            rejects.write(made.rejected)
        summary = {
            "unit": str(unit),
            "read": tally.as_json(),
            "stages": {extract.NAME: extracted.as_json(), clean.NAME: cleaned.as_json()},
            "notes": dict(sorted(notes.items())),
        }
        rejects.commit(summary)
        signals.commit({"spreads": spreads})
        return documents.commit(summary)


def finished(job: Job) -> dict[str, Any] | None:
    """The summary of a unit whose outputs all exist with the right fingerprint, else None."""
    key = documents_fingerprint(job.config, job.unit)
    paths = [find(job.out, job.unit) for find in (documents_path, signals_path, rejects_path)]
    return read_summary(paths[0]) if all(read_fingerprint(path) == key for path in paths) else None


def stages(results: Sequence[tuple[str, dict[str, Any]]]) -> list[account.Stage]:
    """The accounts of extraction and cleaning from (source, summary) of all units."""
    return [
        account.stage(name, [(source, summary["stages"][name]) for source, summary in results])
        for name in (extract.NAME, clean.NAME)
    ]


def damage(summaries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What could not be read, one entry per unit and kind: {"unit", "kind", "count", "first_path", "first_offset",
    "message"}."""
    return [
        {"unit": summary["unit"], "kind": kind, **found}
        for summary in summaries
        for kind, found in summary["read"]["damaged"].items()
    ]


def warnings(summaries: Sequence[dict[str, Any]]) -> list[str]:
    """One line per kind of damage, with the first example."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for entry in damage(summaries):
        kinds.setdefault(entry["kind"], []).append(entry)
    lines = []
    for kind, entries in sorted(kinds.items()):
        first = entries[0]
        count, units = sum(entry["count"] for entry in entries), len(entries)
        where = f"{first['first_path']} at {first['first_offset']:,}: {first['message']}"
        lines.append(f"damaged input: {kind}: {count:,} in {units:,} units; the first in {where}")
    return lines


def versions(config: Config) -> dict[str, str]:
    """Versions of all libraries that decide the documents of this configuration, for the manifest."""
    readers = {name for source in config.sources for name in reader_of(source.type).LIBRARIES}
    return _versions({*readers, *extract.libraries(config.extract), *clean.libraries(config.clean)})


def file_hashes(config: Config) -> list[tuple[str, str]]:
    """Of the user's lists and models: what each is for, and the hash of its bytes."""
    return [(role, _file_hash(str(path), *_stamp(path))) for role, path in clean.files(config.clean)]


_read: list[tuple[str, str]] = []


def _forget_changed(files: list[tuple[str, str]]) -> None:
    """Lists and models that this process read before are read again where they are others now."""
    global _read
    if files != _read:
        clean.forget()
        _read = files


def _stamp(path: Path) -> tuple[int, int]:
    """Size and modification time: an unchanged file is hashed once per process."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@cache
def _file_hash(path: str, size: int, modified: int) -> str:
    return file_xxh3(Path(path))


def _versions(libraries: set[str]) -> dict[str, str]:
    return {**{name: library_version(name) for name in sorted(libraries)}, "unicode": unicodedata.unidata_version}


def _source(config: Config, unit: Unit) -> Source:
    return next(source for source in config.sources if source.name == unit.source)


def _or_fault(records: Iterator[Record], unit: Unit) -> Iterator[Record]:
    """An input that was there when the units were listed, and is no more, is a fault of the machine."""
    try:
        yield from records
    except OSError as error:
        raise MachineError(
            f"cannot read the input any more: {error.strerror or error}",
            where=named(str(error.filename or unit.path)),
            saved="every unit finished before",
            go_on="bring it back and give the same command again, or take it out of the sources",
        ) from error


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    some: list[Record] = []
    size = 0
    for record in records:
        some.append(record)
        size += len(record.text or record.html or record.plain or "")
        if len(some) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
