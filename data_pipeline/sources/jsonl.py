"""JSON lines: one JSON object per line, plain, .gz or .zst.

Plain files are cut into units at the line starts nearest behind the multiples of `data.unit_bytes`, so each record
belongs to the slice that holds its first byte, and the bytes of a unit are exactly those of its records. A compressed
file is one unit: it cannot be entered in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources.files import InputFile, find_files
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.stored import Damaged, StoredFile
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("orjson",)
SUFFIXES = (".jsonl", ".ndjson", ".json")

_BOM = b"\xef\xbb\xbf"
_READ = 1 << 16


def plan(source: Source, unit_bytes: int) -> Plan:
    """Finds the files and cuts the plain ones."""
    found = find_files(source, SUFFIXES)
    pieces = [
        Piece(file.relative_path, file.path, start, end, whole=(start, end) == (0, file.size))
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
        while True:
            offset = file.position
            try:
                line = file.line(limits.record_bytes)
            except Damaged as damage:
                tally.damage("stream", unit.relative_path, damage.offset, damage.message)
                if file.recover():
                    continue
                return
            if not line.size:
                return
            if line.size > limits.record_bytes:
                tally.records += 1
                yield Record(unit.relative_path, offset, too_large=line.size)
                continue
            data = line.data
            if offset == 0 and data.startswith(_BOM):
                data = data[len(_BOM) :]
            data = data.strip()
            if not data:
                tally.skip("blank line")
                continue
            tally.records += 1
            record = _record(data, unit, source, offset, tally)
            if record is not None:
                yield record


def _record(data: bytes, unit: Unit, source: Source, offset: int, tally: SourceTally) -> Record | None:
    try:
        value: Any = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        kind, message = "not JSON", str(error)
        try:
            data.decode()
        except UnicodeDecodeError as wrong:
            kind, message = "invalid UTF-8", str(wrong)
        tally.damage(kind, unit.relative_path, offset, message)
        return None
    if not isinstance(value, dict):
        tally.damage("not a JSON object", unit.relative_path, offset, f"found {type(value).__name__}")
        return None
    if source.text_field not in value:
        keys = ", ".join(sorted(value)[:8])
        tally.damage("no text field", unit.relative_path, offset, f"no {source.text_field!r} among: {keys}")
        return None
    text = value[source.text_field]
    if not isinstance(text, str):
        message = f"{source.text_field!r} holds {type(text).__name__}"
        tally.damage("text is no string", unit.relative_path, offset, message)
        return None
    url = value.get(source.url_field)
    return Record(unit.relative_path, offset, text=text, url=url if isinstance(url, str) else "")


def _cuts(file: InputFile, unit_bytes: int) -> Iterator[tuple[int, int]]:
    if file.coding != "plain" or file.size <= unit_bytes:
        yield 0, file.size
        return
    start = 0
    with Path(file.path).open("rb") as data:
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
