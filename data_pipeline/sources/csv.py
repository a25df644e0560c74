"""CSV and TSV (RFC 4180): a header line, then one document per record; cells in quotes may hold line ends.

A file is one unit: whether a line end is inside quotes can only be known from the beginning. Records are put together
from lines here, so that one that never ends is measured and not held; the standard library then parts the cells.
A document's offset is the first byte of its record in the decoded stream. Cells are read as UTF-8; a text that is none
is decoded as a plain file is.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from configs.errors import Problem
from configs.schema.source import Source
from configs.suggest import nearest
from data_pipeline.pool import advance
from data_pipeline.sources import fields
from data_pipeline.sources.files import find_files
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.stored import CODING_SUFFIXES, Damaged, StoredFile
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = [2, fields.RULE_VERSION]
LIBRARIES: tuple[str, ...] = ("lz4", "orjson", "zstandard")
SUFFIXES = (".csv", ".tsv")

_BOM = b"\xef\xbb\xbf"
_HEADER_BYTES = 1 << 20


def plan(source: Source, unit_bytes: int) -> Plan:
    """One unit per file. The columns asked for are looked up in the first header that can be read."""
    found = find_files(source, SUFFIXES)
    problems = list(found.problems)
    pieces = [Piece(f.relative_path, f.path, 0, f.size, whole=True, xxh3=f.xxh3) for f in found.files]
    here = next((file for file in found.files if not file.remote and file.size), None)
    if here is not None:
        try:
            with StoredFile(here.path) as file:
                names = source.columns or _header(file, _dialect(source, here.relative_path))
                problems += _problems(names, source, here.path)
        except (Damaged, csv.Error, OSError):
            pass  # it is counted as damaged when it is read
    return Plan(pieces, found.left_out, problems)


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """Records in order. Those with another number of cells than the header, and those that are none, are counted."""

    def told(by: int) -> None:
        tally.input_bytes += by
        advance(by)

    def damage(kind: str, offset: int, message: str) -> None:
        tally.damage(kind, unit.relative_path, offset, message)

    if not unit.size:
        return
    dialect = _dialect(source, unit.relative_path)
    csv.field_size_limit(limits.page_bytes)
    names: list[str] = list(source.columns)
    with StoredFile(unit.path, unit.start, unit.end, told) as file:
        while True:
            offset = file.position
            try:
                data, size, closed = _record(file, limits.page_bytes, dialect)
            except Damaged as error:
                damage("stream", error.offset, error.message)
                if file.recover():
                    continue
                return
            if not size:
                return
            if offset == 0:
                data = data.removeprefix(_BOM)
            if size <= limits.page_bytes and not data.strip(b"\r\n"):
                tally.skip("blank line")
                continue
            if not names:
                try:
                    names = _cells(data, dialect)
                except (csv.Error, ValueError) as error:
                    damage("no header", offset, str(error))
                    _pass_over(file)
                    return
                tally.skip("header")
                continue
            tally.records += 1
            if size > limits.page_bytes:
                yield Record(unit.relative_path, offset, too_large=size)
                continue
            if not closed:
                damage("unclosed quote", offset, f"the file ends inside a cell of {size} bytes")
                continue
            try:
                cells = _cells(data, dialect)
            except (csv.Error, ValueError) as error:
                damage("malformed record", offset, str(error))
                continue
            if len(cells) != len(names):
                damage("wrong number of cells", offset, f"{len(cells)} cells, the header has {len(names)}")
                continue
            row = dict(zip(names, cells, strict=True))

            def get(field: str, row: dict[str, str] = row) -> Any:
                return _decoded(row[field]) if field in row else fields.MISSING

            def header(row: dict[str, str] = row) -> list[str]:
                return list(row)

            record = fields.make_record(get, header, source, unit.relative_path, offset, limits, tally)
            if record is not None:
                yield record


def _dialect(source: Source, name: str) -> type[csv.Dialect]:
    lower = name.lower()
    for suffix in CODING_SUFFIXES:
        lower = lower.removesuffix(suffix)

    class Cells(csv.Dialect):
        delimiter = source.delimiter or ("\t" if lower.endswith(".tsv") else ",")
        quotechar = source.quote or None
        quoting = csv.QUOTE_MINIMAL if source.quote else csv.QUOTE_NONE
        doublequote = True
        lineterminator = "\n"

    return Cells


def _record(file: StoredFile, limit: int, dialect: type[csv.Dialect]) -> tuple[bytes, int, bool]:
    """Bytes and size of the next record, and whether its last quote is closed. Beyond `limit` it is measured only."""
    parts: list[bytes] = []
    size = 0
    inside = False
    while True:
        line = file.line(limit)
        size += line.size
        if not line.size:
            return b"".join(parts), size, not inside
        if line.size > limit:
            # What it holds is not known: the record ends with it.
            return b"", size, True
        inside = _ends_inside(line.data, inside, dialect)
        if size <= limit:
            parts.append(line.data)
        else:
            parts.clear()
        if not inside:
            return b"".join(parts), size, True


def _ends_inside(line: bytes, inside: bool, dialect: type[csv.Dialect]) -> bool:
    """Whether a quote is open behind `line`, if one was (or not) before it. As the csv module reads quotes: they count
    at the beginning of a cell only."""
    if dialect.quotechar is None:
        return False
    quote, delimiter = dialect.quotechar.encode(), dialect.delimiter.encode()
    if not inside and quote not in line:
        return False
    at = 0
    while True:
        if not inside and line[at : at + 1] == quote:
            inside = True
            at += 1
        if inside:
            while True:
                at = line.find(quote, at) + 1
                if not at:
                    return True
                if line[at : at + 1] != quote:
                    break
                at += 1
            inside = False
        at = line.find(delimiter, at) + 1
        if not at:
            return False


def _cells(data: bytes, dialect: type[csv.Dialect]) -> list[str]:
    """The cells of one record; each letter stands for a byte. Raises csv.Error."""
    text = data.decode("latin-1").removesuffix("\n").removesuffix("\r")
    rows = list(csv.reader([text], dialect))
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} records where one was expected")
    return rows[0]


def _decoded(cell: str) -> str | bytes:
    if cell.isascii():
        return cell
    data = cell.encode("latin-1")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _header(file: StoredFile, dialect: type[csv.Dialect]) -> list[str]:
    while True:
        data, size, _ = _record(file, _HEADER_BYTES, dialect)
        data = data.removeprefix(_BOM)
        if data.strip(b"\r\n") or not size:
            return _cells(data, dialect) if size else []


def _problems(names: Sequence[str], source: Source, path: str) -> list[Problem]:
    asked = {f"fields.{key}": field for key, field in source.fields.items() if field not in names}
    if not any(field in names for field in source.text_fields):
        asked["text_field"] = source.text_fields[0]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        return [Problem(f"two columns are named {twice!r}", path, "rename one, or name all by `columns`")]
    found = []
    for key, field in asked.items():
        near = nearest(field, names)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(name[:40] for name in names[:12])
        found.append(Problem(f"{key} {field!r} is no column", path, f"{hint}columns: {listed}"))
    return found


def _pass_over(file: StoredFile) -> None:
    """To the end, so that its bytes are counted."""
    try:
        while file.skip(1 << 30):
            pass
    except Damaged:
        pass
