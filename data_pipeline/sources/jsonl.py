"""JSON: one object per line (JSON Lines), an array of objects, or objects over several lines; plain or in any coding.

The first bytes of a file say which of the three it is. Plain files of lines are cut into units at the line starts
nearest behind the multiples of `data.unit_bytes`, so each record belongs to the slice that holds its first byte, and
the bytes of a unit are exactly those of its records. Any other file is one unit: a compressed one cannot be entered in
the middle, and inside an array no line is known to begin a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources import fields
from data_pipeline.sources.fields import lookup, make_record
from data_pipeline.sources.files import InputFile, find_files
from data_pipeline.sources.json_values import HEAD, Values, is_lines
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.stored import Damaged, StoredFile, open_stored
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = [3, fields.RULE_VERSION]
LIBRARIES: tuple[str, ...] = ("orjson", "lz4", "zstandard")
SUFFIXES = (".jsonl", ".ndjson", ".json")

_BOM = b"\xef\xbb\xbf"
_READ = 1 << 16


def plan(source: Source, unit_bytes: int) -> Plan:
    """Finds the files and cuts the plain ones."""
    found = find_files(source, SUFFIXES)
    pieces = [
        Piece(file.relative_path, file.path, start, end, whole=(start, end) == (0, file.size), xxh3=file.xxh3)
        for file in found.files
        for start, end in _cuts(file, unit_bytes)
    ]
    return Plan(pieces, found.left_out, found.problems)


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """Records in order; offset: first byte of the line in the decoded stream. Lines that are no records are counted."""

    def told(by: int) -> None:
        tally.input_bytes += by
        advance(by)

    with StoredFile(unit.path, unit.start, unit.end, told) as file:
        lines = unit.start > 0 or is_lines(file.peek(HEAD))
        yield from (_lines if lines else _values)(file, _Rows(unit, source, limits, tally))


@dataclass
class _Rows:
    """Makes records of the bytes of JSON values, and counts what is none."""

    unit: Unit
    source: Source
    limits: Limits
    tally: SourceTally

    def damage(self, kind: str, offset: int, message: str) -> None:
        self.tally.damage(kind, self.unit.relative_path, offset, message)

    def too_large(self, offset: int, size: int) -> Record:
        self.tally.records += 1
        return Record(self.unit.relative_path, offset, too_large=size)

    def record(self, data: bytes, offset: int) -> Record | None:
        self.tally.records += 1
        try:
            value: Any = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            kind, message = "not JSON", str(error)
            try:
                data.decode()
            except UnicodeDecodeError as wrong:
                kind, message = "invalid UTF-8", str(wrong)
            self.damage(kind, offset, message)
            return None
        if not isinstance(value, dict):
            self.damage("not a JSON object", offset, f"found {type(value).__name__}")
            return None
        place = self.unit.relative_path, offset
        return make_record(
            lambda field: lookup(value, field), lambda: list(value), self.source, *place, self.limits, self.tally
        )


def _lines(file: StoredFile, rows: _Rows) -> Iterator[Record]:
    while True:
        offset = file.position
        try:
            line = file.line(rows.limits.record_bytes)
        except Damaged as damage:
            rows.damage("stream", damage.offset, damage.message)
            if file.recover():
                continue
            return
        if not line.size:
            return
        if line.size > rows.limits.record_bytes:
            yield rows.too_large(offset, line.size)
            continue
        data = line.data
        del line  # a large one is held once, and not while its record is worked on
        if offset == 0 and data.startswith(_BOM):
            data = data[len(_BOM) :]
        if not data or data.isspace():
            rows.tally.skip("blank line")
            continue
        record = rows.record(data, offset)
        del data
        if record is not None:
            yield record


def _values(file: StoredFile, rows: _Rows) -> Iterator[Record]:
    values = Values(file, rows.limits.record_bytes)
    while True:
        try:
            for value in values:
                if not value.whole:
                    rows.tally.records += 1
                    rows.damage("not JSON", value.offset, "the file ends inside this value")
                elif value.size > rows.limits.record_bytes:
                    yield rows.too_large(value.offset, value.size)
                else:
                    record = rows.record(value.data, value.offset)
                    del value  # not held while its record is worked on
                    if record is not None:
                        yield record
            if values.unclosed:
                rows.damage("stream", file.position, "the file ends inside an array")
            return
        except Damaged as damage:
            rows.damage("stream", damage.offset, damage.message)
            if not file.recover():
                return
            values.resume()


def _cuts(file: InputFile, unit_bytes: int) -> Iterator[tuple[int, int]]:
    if file.coding != "plain" or file.size <= unit_bytes:
        yield 0, file.size
        return
    start = 0
    with open_stored(file.path) as data:
        if not is_lines(data.read(HEAD)):
            start = file.size
            yield 0, file.size
        while start < file.size:
            # The first multiple of unit_bytes behind this start: one long line may span several.
            end = _line_start(data, (start // unit_bytes + 1) * unit_bytes, file.size)
            yield start, end
            start = end


def _line_start(data: Any, at: int, size: int) -> int:
    """The first start of a line at or behind `at`; `size` if there is none."""
    if at >= size:
        return size
    data.seek(at - 1)
    position = at - 1
    while chunk := data.read(_READ):
        found = chunk.find(b"\n")
        if found >= 0:
            return min(position + found + 1, size)
        position += len(chunk)
    return size
