"""Which module reads which `type` of source, and what such a module must offer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from configs.schema.source import Source
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.remote import fetch, is_remote
from data_pipeline.units import Plan, Unit


class Reader(Protocol):
    """A module of `data_pipeline.sources`."""

    RULE_VERSION: object
    """JSON: raised with every change of code that changes the records read from the same bytes."""

    LIBRARIES: tuple[str, ...]
    """Distributions whose version decides the records."""

    def plan(self, source: Source, unit_bytes: int) -> Plan:
        """Finds the inputs and cuts them into units of about `unit_bytes`. Never raises for what the user can mend."""

    def read(self, unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
        """The unit's records in order. What is not a document is counted in `tally`, never dropped silently."""


_MODULES = {
    "arrow": "arrow",
    "csv": "csv",
    "huggingface": "huggingface",
    "installed-docs": "installed_docs",
    "jsonl": "jsonl",
    "parquet": "parquet",
    "text": "text",
    "warc": "warc",
}


def kinds() -> list[str]:
    """Every type of source."""
    return list(_MODULES)


def reader_of(kind: str) -> Reader:
    """The reader of a source type, imported on demand. Raises KeyError for a type that no module reads."""
    return cast(Reader, import_module(f"data_pipeline.sources.{_MODULES[kind]}"))


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally, spool: Path) -> Iterator[Record]:
    """The records of a unit. A remote file is copied into `spool` for as long as it is read.

    MachineError, TryLater: a remote file cannot be had.
    """
    reader = reader_of(source.type)
    if not is_remote(unit.path):
        yield from reader.read(unit, source, limits, tally)
        return
    copy = fetch(unit.path, unit.xxh3, unit.size, spool)
    try:
        yield from reader.read(dataclasses.replace(unit, path=str(copy)), source, limits, tally)
    finally:
        copy.unlink(missing_ok=True)
