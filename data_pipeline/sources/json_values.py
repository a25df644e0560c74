"""The values of a JSON document one at a time: the elements of an array, or objects one behind the other.

Only the borders of the values are looked for here (strings, and the depth of brackets outside them); what lies between
is for a parser. So a file of any size takes the memory of one value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from data_pipeline.sources.stored import StoredFile

HEAD = 1 << 16
"""First bytes of a file by which `is_lines` tells."""

_BOM = b"\xef\xbb\xbf"
_BETWEEN = re.compile(rb"[\s,\[\]]*+")
_BRACKET_OR_STRING = re.compile(rb'["{}\[\]]')
_STRING_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_WORD_END = re.compile(rb"[\s,\[\]{]")
# What an object that is an element of an array begins with.
_NEXT_OBJECT = re.compile(rb'(?:[\[,]\s{0,1000}|\n[ \t]{0,1000})\{\s{0,1000}[}"]')


class Value(NamedTuple):
    """offset: of its first byte in the decoded stream. data: b"" where `size`, its bytes, is above the limit.
    whole: the stream did not end inside it."""

    offset: int
    data: bytes
    size: int
    whole: bool


def is_lines(head: bytes) -> bool:
    """Whether a file that begins so holds a value per line, not an array of objects or objects over several lines."""
    head = head.removeprefix(_BOM).lstrip()
    if head.startswith(b"["):
        return head[1:].lstrip()[:1] not in (b"{", b"]", b"")
    line, end, rest = head.partition(b"\n")
    # An object whose first line breaks off where a line of one may; a record per line would begin the next one.
    broken = bool(end) and line.startswith(b"{") and line.rstrip().endswith((b"{", b"[", b",", b":"))
    return not broken or rest.startswith(b"{")


class Values:
    """The values of a stream. Raises Damaged; `resume` goes on behind it."""

    def __init__(self, file: StoredFile, limit: int) -> None:
        self._file, self._limit = file, limit
        self._parts: list[bytes] = []
        self._size = 0
        self._offset = -1
        self._depth = 0
        self._in_string = self._escaped = False
        self._lost = False
        self._open = 0

    def resume(self) -> None:
        """After the stream has recovered from damage: what was open is given up, and the next object looked for."""
        self._close()
        self._in_string = self._escaped = False
        self._lost = True
        self._open = 0

    @property
    def inside(self) -> bool:
        """Whether a value has begun and not ended."""
        return self._offset >= 0

    @property
    def unclosed(self) -> bool:
        """At the end: whether an array has begun and not ended."""
        return self._open > 0

    def __iter__(self) -> Iterator[Value]:
        rest = b""
        if self._file.peek(3) == _BOM:
            self._file.skip(3)
        while chunk := self._file.chunk():
            begin = self._file.position - len(chunk)
            if self._lost:
                chunk, begin = rest + chunk, begin - len(rest)
                found = _NEXT_OBJECT.search(chunk)
                if found is None:
                    rest = chunk[-4096:]
                    continue
                at = chunk.index(b"{", found.start())
                chunk, begin, rest, self._lost = chunk[at:], begin + at, b"", False
            yield from self._scan(chunk, begin)
        if self._offset >= 0:
            yield self._made(whole=self._depth == 0 and not self._in_string)

    def _scan(self, chunk: bytes, position: int) -> Iterator[Value]:
        """The values that end in a chunk. position: of its first byte."""
        at = kept = 0
        while at < len(chunk):
            if self._offset < 0:
                kept = self._pass_between(chunk, at)
                if kept == len(chunk):
                    return
                at = self._begin(chunk, kept, position)
            at, ended = self._step(chunk, at)
            if ended:
                self._keep(chunk[kept:at])
                yield self._made(whole=True)
        if self._offset >= 0:
            self._keep(chunk[kept:])

    def _pass_between(self, chunk: bytes, at: int) -> int:
        found = _BETWEEN.match(chunk, at)
        end = found.end() if found else at
        self._open += chunk.count(b"[", at, end) - chunk.count(b"]", at, end)
        return end

    def _begin(self, chunk: bytes, at: int, position: int) -> int:
        self._offset = position + at
        self._depth = int(chunk[at] == 0x7B)
        self._in_string = chunk[at] == 0x22
        return at + 1 if self._depth or self._in_string else at

    def _step(self, chunk: bytes, at: int) -> tuple[int, bool]:
        """Goes on inside a value, at most to its end; returns where, and whether it ended."""
        if self._in_string:
            if self._escaped and at < len(chunk):
                self._escaped = False
                return at + 1, False
            found = _STRING_END.match(chunk, at)
            if found:
                self._in_string = False
                return found.end(), self._depth == 0
            tail = chunk[at:]
            self._escaped = (len(tail) - len(tail.rstrip(b"\\"))) % 2 == 1
            return len(chunk), False
        if self._depth == 0:  # a bare word: a number, true, or rubbish
            found = _WORD_END.search(chunk, at)
            return (found.start(), True) if found else (len(chunk), False)
        found = _BRACKET_OR_STRING.search(chunk, at)
        if not found:
            return len(chunk), False
        if found[0] == b'"':
            self._in_string = True
        else:
            self._depth += 1 if found[0] in (b"{", b"[") else -1
        return found.end(), self._depth == 0

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._parts.append(piece)
        else:
            self._parts.clear()

    def _made(self, whole: bool) -> Value:
        value = Value(self._offset, b"".join(self._parts), self._size, whole)
        self._close()
        return value

    def _close(self) -> None:
        self._parts, self._size, self._offset, self._depth = [], 0, -1, 0
