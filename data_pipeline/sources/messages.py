"""The messages of an Arrow IPC stream: where each lies, its rows, and the bytes it would take to decode it.

Read from the metadata (flatbuffers, Message.fbs), before a byte of a body is decoded: a compressed buffer tells in its
first 8 bytes how large it will be.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAGIC = b"ARROW1\0\0"

_CONTINUATION = 0xFFFFFFFF
_METADATA_BYTES = 1 << 26
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_KINDS = {_SCHEMA: "schema", _DICTIONARY: "dictionary", _BATCH: "batch"}


class BadMessage(Exception):
    """Bytes that are no message. offset: in the file."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Message(NamedTuple):
    """start, end: of the whole message in the file. decoded: bytes of its buffers once decoded; 0 where they are not
    compressed and need no memory."""

    kind: str
    start: int
    end: int
    rows: int
    decoded: int


def messages(file: BinaryIO, size: int) -> Iterator[Message]:
    """Every message of a file of `size` bytes in stream or file format, in order. Raises BadMessage where one makes no
    sense or is cut; what came before is sound."""
    file.seek(0)
    at = len(MAGIC) if file.read(len(MAGIC)) == MAGIC else 0
    while at < size:
        file.seek(at)
        head = file.read(8)
        if len(head) < 4:
            raise BadMessage("the stream ends inside a message", at)
        first = struct.unpack_from("<I", head)[0]
        legacy = first != _CONTINUATION
        if not legacy and len(head) < 8:
            raise BadMessage("the stream ends inside a message", at)
        length = first if legacy else struct.unpack_from("<I", head, 4)[0]
        if length == 0:
            return
        body = at + (4 if legacy else 8) + length
        if length > _METADATA_BYTES or body > size:
            raise BadMessage(f"a message of {length} bytes of metadata does not fit", at)
        file.seek(body - length)
        try:
            message = _message(file, file.read(length), at, body, size)
        except (struct.error, IndexError, ValueError) as error:
            raise BadMessage(f"no message: {error}", at) from error
        yield message
        at = message.end


def _message(file: BinaryIO, data: bytes, at: int, body: int, size: int) -> Message:
    table = _Table(data, _u32(data, 0))
    kind = table.number(1, "<B")
    length = table.number(3, "<q")
    if not 0 <= length < 1 << 62:
        raise ValueError(f"a body of {length} bytes")
    if body + length > size:
        raise ValueError("the file ends inside a batch")
    if kind not in _KINDS:
        raise ValueError(f"type {kind}")
    rows, decoded = 0, 0
    if kind != _SCHEMA:
        batch = table.table(2)
        if kind == _DICTIONARY:
            batch = batch.table(1)
        rows = batch.number(0, "<q")
        if not 0 <= rows < 1 << 48:
            raise ValueError(f"{rows} rows")
        if batch.has(3):
            buffers = batch.pairs(2)
            if any(offset + room > length for offset, room in buffers):
                raise ValueError("a buffer outside of its body")
            decoded = sum(_decoded(file, body + offset, room) for offset, room in buffers)
    return Message(_KINDS[kind], at, body + length, rows, decoded)


def _decoded(file: BinaryIO, at: int, size: int) -> int:
    if size < 8:
        return 0
    file.seek(at)
    length = struct.unpack("<q", file.read(8))[0]  # struct.error behind the end of a cut file
    return size if length < 0 else length  # -1: this one is stored as it is


class _Table:
    """A flatbuffers table, as far as it is needed. Raises struct.error, IndexError or ValueError outside of it."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        if self._fields < 0:
            raise ValueError("a table before the beginning")
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    def _place(self, index: int) -> int:
        slot = 4 + 2 * index
        offset = struct.unpack_from("<H", self._data, self._fields + slot)[0] if slot < self._size else 0
        return self._at + offset if offset else 0

    def has(self, index: int) -> bool:
        return self._place(index) > 0

    def number(self, index: int, form: str) -> int:
        place = self._place(index)
        return struct.unpack_from(form, self._data, place)[0] if place else 0

    def table(self, index: int) -> _Table:
        place = self._place(index)
        if not place:
            raise ValueError("a table is missing")
        return _Table(self._data, place + _u32(self._data, place))

    def pairs(self, index: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        place = self._place(index)
        if not place:
            return []
        place += _u32(self._data, place)
        count = _u32(self._data, place)
        if count * 16 > len(self._data):
            raise ValueError(f"a vector of {count}")
        pairs = [struct.unpack_from("<qq", self._data, place + 4 + 16 * i) for i in range(count)]
        if any(offset < 0 or size < 0 for offset, size in pairs):
            raise ValueError("a buffer outside of its body")
        return [(int(offset), int(size)) for offset, size in pairs]


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
