"""Parquet files, cut into units at row groups. Only the columns asked for are read.

A document's offset is its row's number in the file: the rows of the row groups before its own, and its row therein.
A unit holds the row groups that begin in its bytes; it is known by the hash of the whole file, since nothing in a row
group can be read without the footer.

Rows are read a few at a time: so many that even if each were as large as the largest page, they would fit. A row group
with a page above the limit is not read at all (a page is decompressed whole): its rows are counted, or, where it is a
single row, rejected with its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources import fields, tables
from data_pipeline.sources.files import InputFile, find_files
from data_pipeline.sources.pages import BadPage, largest_page, row_groups
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = [1, fields.RULE_VERSION, tables.RULE_VERSION]
LIBRARIES: tuple[str, ...] = ("pyarrow", "orjson")
SUFFIXES = (".parquet", ".pq")

_MAGIC = b"PAR1"
_PAGE_BYTES = 128_000_000
_BATCH_BYTES = 32_000_000
_BATCH_ROWS = 1000
# Far above what any file holds: beyond, the footer is damaged, and sums of its numbers would not fit an offset.
_MAX_ROWS = 1 << 48


class _Group(NamedTuple):
    """start, end: its bytes. first: rows before it."""

    number: int
    start: int
    end: int
    first: int
    rows: int
    columns: list[tuple[int, int]]


class _Bad(Exception):
    """A footer that makes no sense."""


def plan(source: Source, unit_bytes: int) -> Plan:
    """Cuts the files above `unit_bytes` at the row groups nearest behind its multiples. The columns asked for are
    looked up in the first file whose footer can be read."""
    found = find_files(source, SUFFIXES)
    pieces: list[Piece] = []
    problems = list(found.problems)
    seen = False
    for file in found.files:
        starts = [0]
        if not file.remote and (not seen or file.size > unit_bytes):
            try:
                with Path(file.path).open("rb") as stored:
                    groups = _groups(stored, file.size)
                with _open(file.path) as parquet:
                    _check_names(parquet)
                    if not seen:
                        problems += tables.column_problems(parquet.schema_arrow, source, file.path)
                    starts = _cuts(groups, file.size, unit_bytes)
                    seen = True
            except (pa.ArrowException, OSError, _Bad):
                pass  # it is counted as damaged when it is read
        whole = len(starts) == 1
        for start, end in zip(starts, [*starts[1:], file.size], strict=True):
            pieces.append(_piece(file, start, end, whole))
    return Plan(pieces, found.left_out, problems)


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """The rows of the unit's row groups, in order."""
    if not unit.size:
        return
    try:
        with _open(unit.path) as parquet, Path(unit.path).open("rb") as file:
            size = Path(unit.path).stat().st_size
            _check_names(parquet)
            groups = [g for g in _groups(file, size) if unit.start <= g.start < unit.end or unit.whole]
            if any(len(group.columns) != len(parquet.schema) for group in groups if group.rows):
                raise _Bad("a row group has other columns than the schema")
            reader = _Reader(parquet, file, unit, source, limits, tally)
            told = unit.start
            for group in groups:
                yield from reader.group(group)
                told = _tell(tally, told, min(group.end, unit.end))
            _tell(tally, told, unit.end)
    except (pa.ArrowException, OSError, _Bad) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        tally.damage("damaged footer", unit.relative_path, unit.end, _line(error))
        _tell(tally, unit.start, unit.end)


def _piece(file: InputFile, start: int, end: int, whole: bool) -> Piece:
    return Piece(file.relative_path, file.path, start, end, whole=whole, of_file=True, xxh3=file.xxh3)


def _open(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=False, pre_buffer=False, page_checksum_verification=True)
    except UnicodeDecodeError as error:
        raise _Bad(f"a column's name is no text: {error}") from error


def _check_names(parquet: pq.ParquetFile) -> None:
    try:
        tables.names_of(parquet.schema_arrow)
        for column in range(len(parquet.schema)):
            _ = parquet.schema.column(column).path
    except UnicodeDecodeError as error:
        raise _Bad(f"a column's name is no text: {error}") from error


def _groups(file: BinaryIO, size: int) -> list[_Group]:
    """The row groups in the order of the footer. Raises _Bad where its numbers cannot be."""
    found: list[_Group] = []
    first = 0
    try:
        groups = row_groups(file, size)
    except BadPage as error:
        raise _Bad(str(error)) from error
    for number, group in enumerate(groups):
        ranges = group.columns or [(len(_MAGIC), 0)]
        start = min(at for at, _ in ranges)
        end = max(at + length for at, length in ranges)
        if not group.rows:
            start = end = found[-1].end if found else len(_MAGIC)
        if group.rows < 0 or first + group.rows > _MAX_ROWS or not 0 < start <= end <= size:
            raise _Bad(f"row group {number}: {group.rows} rows in bytes {start}-{end} of {size}")
        found.append(_Group(number, start, end, first, group.rows, group.columns))
        first += group.rows
    return found


def _cuts(groups: list[_Group], size: int, unit_bytes: int) -> list[int]:
    """Where units start: [0] for a file of one unit. Row groups that do not follow each other are not parted."""
    starts = [group.start for group in groups]
    if size <= unit_bytes or starts != sorted(set(starts)):
        return [0]
    cuts = [0]
    for start in starts[1:]:
        if start >= (cuts[-1] // unit_bytes + 1) * unit_bytes:
            cuts.append(start)
    return cuts


class _Reader:
    def __init__(
        self,
        parquet: pq.ParquetFile,
        file: BinaryIO,
        unit: Unit,
        source: Source,
        limits: Limits,
        tally: SourceTally,
    ) -> None:
        self._parquet, self._file, self._unit, self._source = parquet, file, unit, source
        self._limits, self._tally = limits, tally
        self._columns = tables.present(parquet.schema_arrow, source)
        self._page_bytes = max(_PAGE_BYTES, 2 * limits.record_bytes)

    def group(self, group: _Group) -> Iterator[Record]:
        """The group's rows; what cannot be read of it is counted."""
        if not any(field in self._columns for field in self._source.text_fields):
            self._lost("no text field", group, 0, f"columns: {', '.join(self._parquet.schema_arrow.names[:8])}")
            return
        largest, together = self._pages(group)
        if largest > self._page_bytes:
            if group.rows == 1:
                self._tally.records += 1
                yield Record(self._unit.relative_path, group.first, too_large=largest)
            else:
                self._lost("page over the limit", group, 0, f"a page of {largest} bytes in row group {group.number}")
            return
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(together, 1)))
        done = 0
        try:
            for batch in self._parquet.iter_batches(
                rows, row_groups=[group.number], columns=self._columns, use_threads=False
            ):
                batch = batch.slice(0, group.rows - done)
                first = group.first + done
                done += batch.num_rows
                yield from tables.records(
                    batch, self._source, self._unit.relative_path, first, self._limits, self._tally
                )
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            self._lost("damaged row group", group, done, f"row group {group.number}: {_line(error)}")
            return
        if done < group.rows:
            self._lost("damaged row group", group, done, f"row group {group.number} ends after {done} rows")

    def _pages(self, group: _Group) -> tuple[int, int]:
        """Bytes of the largest page of the columns that are read, and the sum of each column's largest."""
        sizes = [0]
        for index, (start, size) in enumerate(group.columns):
            path = self._parquet.schema.column(index).path
            if not any(path == field or path.startswith(f"{field}.") for field in self._columns):
                continue
            try:
                sizes.append(largest_page(self._file, start, size))
            except BadPage:
                sizes.append(self._page_bytes)  # reading ends there with an error; until then one row at a time
        return max(sizes), sum(sizes)

    def _lost(self, kind: str, group: _Group, done: int, message: str) -> None:
        left = group.rows - done
        self._tally.records += left
        self._tally.damage(kind, self._unit.relative_path, group.first + done, message, left)


def _tell(tally: SourceTally, told: int, at: int) -> int:
    by = max(at - told, 0)
    tally.input_bytes += by
    advance(by)
    return max(at, told)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
