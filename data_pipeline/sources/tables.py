"""Rows of Arrow batches as records, a few at a time, whatever the batch holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import Problem
from configs.schema.source import Source
from configs.suggest import nearest
from data_pipeline.sources.fields import MISSING, make_record, wanted
from data_pipeline.sources.record import Limits, Record, SourceTally

RULE_VERSION = 2

_SLICE_ROWS = 128
_SLICE_BYTES = 16_000_000
# What conversions raise on damaged values; dates that Python has no year for are ValueErrors.
_ERRORS = (pa.ArrowException, ValueError, OverflowError, IndexError)


def type_of(schema: pa.Schema, field: str) -> pa.DataType | None:
    """The type of a column, or along dots of a field in nested ones; None where there is none."""
    if field in schema.names:
        return schema.types[schema.names.index(field)]
    first, *steps = field.split(".")
    if first not in schema.names:
        return None
    kind = schema.types[schema.names.index(first)]
    for step in steps:
        if not pa.types.is_struct(kind) or kind.get_field_index(step) < 0:
            return None
        kind = kind.field(step).type
    return kind


def present(schema: pa.Schema, source: Source) -> list[str]:
    """The fields a source asks for that the schema has."""
    return [field for field in wanted(source) if type_of(schema, field) is not None]


def column_problems(schema: pa.Schema, source: Source, path: str) -> list[Problem]:
    """Fields of the configuration that no column answers, each with the nearest one, and texts that are none."""
    names = names_of(schema)
    missing = [field for field in source.text_fields if type_of(schema, field) is None]
    found = []
    if len(missing) == len(source.text_fields):
        found += [_no_column(field, "text_field", names, path) for field in missing]
    for key, field in source.fields.items():
        if type_of(schema, field) is None:
            found.append(_no_column(field, f"fields.{key}", names, path))
    for field in source.text_fields:
        kind = type_of(schema, field)
        if kind is not None and not _is_text(kind):
            texts = [name for name in names if _is_text(type_of(schema, name))]
            hint = f"columns that hold text: {', '.join(texts[:8]) or 'none'}"
            found.append(Problem(f"text_field {field!r} holds {kind}, not text", path, hint))
    return found


def records(
    batch: pa.RecordBatch, source: Source, relative_path: str, first: int, limits: Limits, tally: SourceTally
) -> Iterator[Record]:
    """One record for each row; offset: `first` and the row's place in the batch. Rows over the limit are measured and
    not held; rows that cannot be read are counted. The batch may be damaged: nothing of it is believed unchecked."""
    rows = _Rows(source, relative_path, limits, tally, lambda: names_of(batch.schema))
    try:
        columns = _columns(batch, source)
    except _ERRORS as error:
        tally.records += batch.num_rows
        tally.damage("damaged batch", relative_path, first, _line(error), batch.num_rows)
        return
    strings = {field for field in columns if _is_string(type_of(batch.schema, field))}
    for start in range(0, batch.num_rows, _SLICE_ROWS):
        count = min(_SLICE_ROWS, batch.num_rows - start)
        some = {field: array.slice(start, count) for field, array in columns.items()}
        try:
            sizes = _sizes(some, count)
            together = max(sizes) <= limits.page_bytes and sum(sizes) <= _SLICE_BYTES
            values = _values(some) if together else {}
        except _ERRORS:
            together = False
        if together:
            for row in range(count):
                one = {field: value[row] for field, value in values.items()}
                yield from rows.read(one, strings, first + start + row)
            continue
        for row in range(start, start + count):
            one_row = {field: array.slice(row, 1) for field, array in columns.items()}
            try:
                [size] = _sizes(one_row, 1)
                if size > limits.page_bytes:
                    tally.records += 1
                    yield Record(relative_path, first + row, too_large=size)
                    continue
                one = {field: value[0] for field, value in _values(one_row).items()}
            except _ERRORS as error:
                tally.records += 1
                tally.damage("damaged row", relative_path, first + row, _line(error))
                continue
            yield from rows.read(one, strings, first + row)


class _Rows:
    """Makes records of the values of one row."""

    def __init__(
        self, source: Source, path: str, limits: Limits, tally: SourceTally, names: Callable[[], Sequence[str]]
    ) -> None:
        self._source, self._path, self._limits, self._tally, self._names = source, path, limits, tally, names

    def read(self, values: dict[str, Any], strings: set[str], offset: int) -> Iterator[Record]:
        """The record, if the row gives one. values: strings are bytes still."""
        self._tally.records += 1
        for field in strings:
            value = values[field]
            if value is None:
                continue
            try:
                values[field] = value.decode()
            except UnicodeDecodeError as error:
                if field in self._source.text_fields:
                    self._tally.damage("invalid UTF-8", self._path, offset, f"{field!r}: {error}")
                    return
                values[field] = value.decode("utf-8", "replace")

        def get(field: str) -> Any:
            return values.get(field, MISSING)

        record = make_record(get, self._names, self._source, self._path, offset, self._limits, self._tally)
        if record is not None:
            yield record


def _columns(batch: pa.RecordBatch, source: Source) -> dict[str, pa.Array]:
    """The columns asked for; strings as bytes, since nobody has checked that they are UTF-8."""
    columns = {}
    for field in present(batch.schema, source):
        names = batch.schema.names
        if field in names:
            array = batch.column(names.index(field))
        else:
            first, *steps = field.split(".")
            parent = batch.column(names.index(first))
            parent.validate()
            array = pc.struct_field(parent, steps)
        array.validate()
        if pa.types.is_dictionary(array.type):
            # Not decoded: a long text that many rows share would then be held many times.
            dictionary = _as_bytes(array.dictionary)
            dictionary.validate(full=True)
            array = pa.DictionaryArray.from_arrays(array.indices, dictionary, safe=True)
        columns[field] = _as_bytes(array)
    return columns


def _as_bytes(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        return array.cast(pa.binary())
    if pa.types.is_large_string(array.type) or _is_view(array.type):
        return array.cast(pa.large_binary())
    return array


def _values(columns: dict[str, pa.Array]) -> dict[str, list[Any]]:
    """Of few rows. Raises one of _ERRORS."""
    values = {}
    for field, array in columns.items():
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        array.validate(full=True)
        values[field] = array.to_pylist()
    return values


def _sizes(columns: dict[str, pa.Array], rows: int) -> list[int]:
    """Bytes of each row: of its strings; of nested columns the mean, whose rows cannot be told apart cheaply."""
    total = [0] * rows
    lengths: Sequence[int | None]
    for array in columns.values():
        if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
            array.validate(full=True)
            lengths = pc.binary_length(array).to_pylist()
        elif pa.types.is_dictionary(array.type):
            at = array.indices.to_pylist()
            lengths = [None if index is None else _size(array.dictionary[index]) for index in at]
        else:
            lengths = [array.nbytes // max(rows, 1)] * rows
        total = [sum_ + (length or 0) for sum_, length in zip(total, lengths, strict=True)]
    return total


def _size(scalar: pa.Scalar) -> int:
    binary = isinstance(scalar, pa.BinaryScalar | pa.LargeBinaryScalar)
    return scalar.as_buffer().size if binary and scalar.is_valid else 8


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def names_of(schema: pa.Schema) -> list[str]:
    """Columns, and fields of nested ones by their dotted names. UnicodeDecodeError where a damaged one is no text."""
    names = []
    todo = [(field.name, field.type) for field in reversed(schema)]
    while todo:
        name, kind = todo.pop()
        names.append(name)
        if pa.types.is_struct(kind):
            todo += [(f"{name}.{kind.field(i).name}", kind.field(i).type) for i in reversed(range(kind.num_fields))]
    return names


def _no_column(field: str, key: str, names: Sequence[str], path: str) -> Problem:
    near = nearest(field, names)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return Problem(f"{key} {field!r} is no column", path, f"{hint}columns: {', '.join(names[:12])}")


def _is_view(kind: pa.DataType) -> bool:
    return pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)


def _is_string(kind: pa.DataType | None) -> bool:
    if kind is None:
        return False
    if pa.types.is_dictionary(kind):
        return _is_string(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_text(kind: pa.DataType | None) -> bool:
    """Strings, and bytes that may be one."""
    if kind is None:
        return False
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return binary or _is_string(kind)
