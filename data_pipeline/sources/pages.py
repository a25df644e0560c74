"""Where the row groups of a Parquet file lie, read from its footer, and the sizes of their pages, from their headers.

A page is decompressed whole, so its size bounds what reading a few rows can hold. The footer's sums cannot say it, and
may lie. Format: parquet.thrift, `FileMetaData` and `PageHeader`, in Thrift's compact protocol. pyarrow reads the same
footer, but its view of a damaged column ends the process (25.0: an exception of C++ that nothing catches).
"""

from __future__ import annotations

from typing import Any, BinaryIO, NamedTuple

_FOOTER_BYTES = 1 << 28
_HEAD = 1 << 10
_LONG_HEAD = 1 << 24
_MAX_DEPTH = 16
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _MAP, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 11, 12


class _Short(Exception):
    """The header goes on behind the bytes at hand."""


class BadPage(Exception):
    """Bytes that are no page header, or no footer."""


class RowGroup(NamedTuple):
    """columns: first byte and bytes of each column's pages, in the order of the leaves of the schema."""

    rows: int
    columns: list[tuple[int, int]]


def row_groups(file: BinaryIO, size: int) -> list[RowGroup]:
    """The row groups of a file of `size` bytes, in the order of its footer. Raises BadPage where it makes no sense."""
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if len(tail) < 8 or tail[4:] != b"PAR1" or length > min(size - 12, _FOOTER_BYTES):
        raise BadPage("no footer")
    file.seek(size - 8 - length)
    try:
        footer = _Compact(file.read(length)).struct({4: {1: {3: {}}}})
    except _Short as error:
        raise BadPage("the footer is cut") from error
    found = []
    for group in footer.get(4, []):
        columns = []
        for chunk in group.get(1, []):
            about: dict[int, int] = next(iter(chunk.get(3, [])), {})
            if 9 not in about:
                raise BadPage("a column without its place")
            start, dictionary = about[9], about.get(11, 0)
            columns.append((dictionary if 0 < dictionary < start else start, max(about.get(7, 0), 0)))
        found.append(RowGroup(group.get(3, -1), columns))
    return found


def largest_page(file: BinaryIO, start: int, size: int) -> int:
    """Bytes that the largest page of a column decompresses to; the column's pages lie in [start, start + size).

    Raises BadPage at the first header that makes no sense. OSError where the file cannot be read.
    """
    largest, at, end = 0, start, start + size
    while at < end:
        uncompressed, compressed, header = _page(file, at, end)
        largest = max(largest, uncompressed)
        at += header + compressed
    return largest


def _page(file: BinaryIO, at: int, end: int) -> tuple[int, int, int]:
    """Uncompressed and compressed bytes of the page at `at`, and those of its header."""
    for room in (_HEAD, _LONG_HEAD):
        file.seek(at)
        try:
            reader = _Compact(file.read(min(room, end - at)))
            numbers = reader.struct()
        except _Short:
            continue
        uncompressed, compressed = numbers.get(2, -1), numbers.get(3, -1)
        if uncompressed < 0 or compressed < 0:
            raise BadPage("a page header without sizes")
        return uncompressed, compressed, reader.at
    raise BadPage("a page header that does not end")


class _Compact:
    """Thrift's compact protocol, as far as integers are wanted; all else is passed over."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, keep: dict[int, Any] | None = None, depth: int = 0) -> dict[int, Any]:
        """The integers of a struct by field id; and of the fields in `keep` a list of structs (of one, where it is no
        list), each with the fields to keep in them."""
        if depth > _MAX_DEPTH:
            raise BadPage("nested too deeply")
        numbers: dict[int, Any] = {}
        field = 0
        while True:
            head = self._byte()
            if head == 0:
                return numbers
            kind, delta = head & 15, head >> 4
            field = field + delta if delta else self._zigzag()
            inner = keep.get(field) if keep else None
            if inner is not None and kind in _LISTS:
                numbers[field] = self._structs(inner, depth + 1)
            elif inner is not None and kind == _STRUCT:
                numbers[field] = [self.struct(inner, depth + 1)]
            elif inner is not None:
                raise BadPage(f"field {field} is of type {kind}")
            elif kind in _INTEGERS:
                numbers[field] = self._zigzag()
            else:
                self._skip(kind, depth)

    def _structs(self, keep: dict[int, Any], depth: int) -> list[dict[int, Any]]:
        head = self._byte()
        count = head >> 4 if head >> 4 != 15 else self._varint()
        if head & 15 != _STRUCT:
            raise BadPage("a list of other things than were expected")
        return [self.struct(keep, depth) for _ in range(count)]

    def _skip(self, kind: int, depth: int, inside: bool = False) -> None:
        if depth > _MAX_DEPTH:
            raise BadPage("nested too deeply")
        if self.at > len(self._data):
            raise _Short
        if kind in _BOOLEANS:
            self.at += inside  # of a field, the value is in its type; of a list, a byte
        elif kind == _BYTE:
            self.at += 1
        elif kind in _INTEGERS:
            self._zigzag()
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BINARY:
            length = self._varint()
            self.at += length
        elif kind in _LISTS:
            head = self._byte()
            count = head >> 4 if head >> 4 != 15 else self._varint()
            for _ in range(count):
                self._skip(head & 15, depth + 1, inside=True)
        elif kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._skip(kinds >> 4, depth + 1, inside=True)
                self._skip(kinds & 15, depth + 1, inside=True)
        elif kind == _STRUCT:
            self.struct(depth=depth + 1)
        else:
            raise BadPage(f"no type {kind}")

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise _Short
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise BadPage("a number of too many bytes")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
