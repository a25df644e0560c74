"""Arrow IPC files, in stream or file format (Feather, and the files that `datasets` saves), cut into units at batches.

A document's offset is its row's number in the file. A unit holds the batches that begin in its bytes, and is known by
the hash of the whole file, whose first bytes hold the schema. Files are mapped: uncompressed batches cost no memory;
a compressed one is decoded whole, if that is within the limit. A file whose schema has dictionaries is one unit: they
may be changed between batches. Arrow files carry no checksums: what is damaged in a way that still makes sense is read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pyarrow as pa

from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources import fields, tables
from data_pipeline.sources.files import find_files
from data_pipeline.sources.messages import BadMessage, Message, messages
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = [1, fields.RULE_VERSION, tables.RULE_VERSION]
LIBRARIES: tuple[str, ...] = ("pyarrow", "orjson")
SUFFIXES = (".arrow", ".feather")

_BATCH_BYTES = 512_000_000


def plan(source: Source, unit_bytes: int) -> Plan:
    """Cuts the files above `unit_bytes` at the batches nearest behind its multiples. The columns asked for are looked
    up in the first file whose schema can be read."""
    found = find_files(source, SUFFIXES)
    pieces: list[Piece] = []
    problems = list(found.problems)
    seen = False
    for file in found.files:
        starts = [0]
        if not file.remote and (not seen or file.size > unit_bytes):
            try:
                schema = _schema(file.path, file.size)
                if not seen:
                    problems += tables.column_problems(schema, source, file.path)
                seen = True
                if file.size > unit_bytes and not _has_dictionaries(schema):
                    starts = _cuts(file.path, file.size, unit_bytes)
            except (pa.ArrowException, OSError, BadMessage):
                pass  # it is counted as damaged when it is read
        for start, end in zip(starts, [*starts[1:], file.size], strict=True):
            whole = len(starts) == 1
            pieces.append(Piece(file.relative_path, file.path, start, end, whole, of_file=True, xxh3=file.xxh3))
    return Plan(pieces, found.left_out, problems)


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """The rows of the unit's batches, in order."""
    if not unit.size:
        return
    path, size = unit.path, Path(unit.path).stat().st_size
    told = unit.start
    try:
        schema = _schema(path, size)
        batches = _Dictionaries(path, schema) if _has_dictionaries(schema) else _Plain(path, schema, size)
    except (pa.ArrowException, BadMessage, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        tally.damage("not Arrow", unit.relative_path, unit.start, _line(error))
        _tell(tally, told, unit.end)
        return
    first = 0
    lost = False
    try:
        with Path(path).open("rb") as file:
            for message in messages(file, size):
                if message.kind != "batch":
                    lost = not batches.pass_over(message, limits) or lost
                    continue
                if message.start >= unit.end and not unit.whole:
                    break
                if message.start >= unit.start:
                    told = _tell(tally, told, min(message.end, unit.end))
                    if not lost:
                        lost = yield from _batch(batches, message, first, unit, source, limits, tally)
                    else:
                        _lose(tally, unit, message, first, "behind a batch that cannot be read")
                first += message.rows
    except BadMessage as error:
        if unit.start <= error.offset < unit.end:
            tally.damage("stream", unit.relative_path, error.offset, str(error))
    _tell(tally, told, unit.end)


class _Plain:
    """Batches of a file without dictionaries: each is read by itself."""

    goes_on = True

    def __init__(self, path: str, schema: pa.Schema, size: int) -> None:
        self._file = pa.memory_map(path)
        self._schema = schema

    def pass_over(self, message: Message, limits: Limits) -> bool:
        return True

    def read(self, message: Message) -> pa.RecordBatch:
        self._file.seek(message.start)
        return pa.ipc.read_record_batch(pa.ipc.read_message(self._file), self._schema)


class _Dictionaries:
    """Batches of a file with dictionaries: one after the other."""

    goes_on = False

    def __init__(self, path: str, schema: pa.Schema) -> None:
        file = pa.memory_map(path)
        if file.read(8) != b"ARROW1\0\0":
            file.seek(0)
        self._reader = pa.ipc.open_stream(file)

    def pass_over(self, message: Message, limits: Limits) -> bool:
        return message.decoded <= max(_BATCH_BYTES, 2 * limits.record_bytes)

    def read(self, message: Message) -> pa.RecordBatch:
        return self._reader.read_next_batch()


def _batch(
    batches: _Plain | _Dictionaries,
    message: Message,
    first: int,
    unit: Unit,
    source: Source,
    limits: Limits,
    tally: SourceTally,
) -> Generator[Record, None, bool]:
    """The rows of one batch; returns whether no other can be read behind it."""
    if message.decoded > max(_BATCH_BYTES, 2 * limits.record_bytes):
        if message.rows == 1:
            tally.records += 1
            yield Record(unit.relative_path, first, too_large=message.decoded)
        else:
            _lose(tally, unit, message, first, f"it decodes to {message.decoded} bytes", "batch over the limit")
        return not batches.goes_on
    try:
        batch = batches.read(message)
        if batch.num_rows != message.rows:
            raise pa.ArrowInvalid(f"{batch.num_rows} rows, announced were {message.rows}")
    except (pa.ArrowException, OSError, StopIteration) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        _lose(tally, unit, message, first, _line(error))
        return not batches.goes_on
    if not any(tables.type_of(batch.schema, field) for field in source.text_fields):
        _lose(tally, unit, message, first, f"columns: {', '.join(batch.schema.names[:8])}", "no text field")
    else:
        yield from tables.records(batch, source, unit.relative_path, first, limits, tally)
    return False


def _lose(tally: SourceTally, unit: Unit, message: Message, first: int, why: str, kind: str = "damaged batch") -> None:
    tally.records += message.rows
    tally.damage(kind, unit.relative_path, first, f"the batch at byte {message.start}: {why}", message.rows)


def _schema(path: str, size: int) -> pa.Schema:
    with Path(path).open("rb") as file:
        first = next(messages(file, size), None)
        if first is None or first.kind != "schema":
            raise BadMessage("the file does not begin with a schema", 0)
        file.seek(first.start)
        schema = pa.ipc.read_schema(pa.py_buffer(file.read(first.end - first.start)))
    try:
        tables.names_of(schema)
    except UnicodeDecodeError as error:
        raise BadMessage(f"a column's name is no text: {error}", first.start) from error
    return schema


def _has_dictionaries(schema: pa.Schema) -> bool:
    todo = list(schema.types)
    while todo:
        kind = todo.pop()
        if pa.types.is_dictionary(kind):
            return True
        if pa.types.is_nested(kind):
            todo += [kind.field(index).type for index in range(kind.num_fields)]
    return False


def _cuts(path: str, size: int, unit_bytes: int) -> list[int]:
    cuts = [0]
    begun = False
    with Path(path).open("rb") as file:
        try:
            for message in messages(file, size):
                if message.kind != "batch":
                    continue
                if begun and message.start >= (cuts[-1] // unit_bytes + 1) * unit_bytes:
                    cuts.append(message.start)
                begun = True
        except BadMessage:
            pass  # the last unit holds the damage
    return cuts


def _tell(tally: SourceTally, told: int, at: int) -> int:
    by = max(at - told, 0)
    tally.input_bytes += by
    advance(by)
    return max(at, told)


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
