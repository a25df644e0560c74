"""Stored files as streams of decoded bytes: plain, or in a coding of `decoders`, told apart by their first bytes.

Memory is bounded whatever a file decodes to. Damage raises `Damaged` once every byte decoded before it has been handed
out (but for the line or piece that runs into it: that is damaged too), and `recover` goes on with the next member that
can be found.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from data_pipeline.sources.decoders import Damaged, Members, Stored, coding_of_head

__all__ = ["CODING_SUFFIXES", "Damaged", "Line", "StoredFile", "coding_of", "open_stored"]

CODING_SUFFIXES = (".gz", ".zst", ".lz4", ".bz2", ".xz")
"""How the names of files in the codings that are read end."""

# Bytes that may be read a second time for each byte read: see `rewind`.
_REREAD = 2
_HEAD = 1 << 12
# More than the line ends behind a record.
_LITTLE = 8


class Line(NamedTuple):
    """data: with its line end; b"" where `size`, its bytes, is above the limit (or 0: the end of the stream)."""

    data: bytes
    size: int


def open_stored(path: str) -> IO[bytes]:
    """The stored bytes of an input. Raises OSError."""
    return Path(path).open("rb")


def coding_of(path: str) -> str:
    """`plain`, `gzip`, `zstd`, `lz4`, `bzip2` or `xz`. Raises OSError."""
    with open_stored(path) as file:
        return coding_of_head(file.read(_HEAD))


class StoredFile:
    """The decoded bytes of a file, or of its stored bytes [start, end), which for a coded file are whole members.

    position: of the next byte in the decoded stream (of a plain slice: in the file). told: called with the number of
    stored bytes, as they are read. fence: called with the first bytes of each member (4 kB or more, if it has); where it
    says yes, the stream ends before that member until `next_member` is called.
    """

    def __init__(
        self,
        path: str,
        start: int = 0,
        end: int | None = None,
        told: Callable[[int], None] = lambda by: None,
        fence: Callable[[bytes], bool] | None = None,
    ) -> None:
        coding = coding_of(path)
        self._file = open_stored(path)
        stored = Stored(self._file, start, end, told)
        self._decoder: _Plain | Members = _Plain(stored) if coding == "plain" else Members(stored, coding)
        self._fence = fence
        self.coding = coding
        self.position = start if coding == "plain" else 0
        self._buffer = b""
        self._at = 0
        self._held: bytes | None = None
        self._pending: Damaged | None = None
        self._total: int | None = None
        self._furthest = self.position
        self._reread = 0

    def __enter__(self) -> StoredFile:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._file.close()

    def line(self, limit: int) -> Line:
        """The next line. One longer than `limit` bytes is measured and passed over, never held."""
        parts: list[bytes] = []
        size = 0
        while True:
            cut = self._buffer.find(b"\n", self._at) + 1
            piece = self._buffer[self._at : cut or len(self._buffer)]
            self._at += len(piece)
            self.position += len(piece)
            size += len(piece)
            if size <= limit:
                parts.append(piece)
            else:
                parts.clear()
            if cut or not self._fill():
                return Line(b"".join(parts), size)

    def chunk(self) -> bytes:
        """The next bytes, as many as are at hand; b"" at the end of the stream."""
        if self._at >= len(self._buffer) and not self._fill():
            return b""
        piece = self._buffer[self._at :]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def read(self, size: int, after: bytes = b"") -> bytes:
        """The next `size` bytes, fewer at the end of the stream only, behind the bytes `after`."""
        if not after and size <= len(self._buffer) - self._at:
            self._at += size
            self.position += size
            return self._buffer[self._at - size : self._at]
        # Unlike a list to be joined, it never holds everything twice.
        whole = io.BytesIO()
        whole.write(after)
        while size > 0:
            piece = memoryview(self._buffer)[self._at : self._at + size]
            self._at += len(piece)
            self.position += len(piece)
            size -= len(piece)
            whole.write(piece)
            if size > 0 and not self._fill():
                break
        return whole.getvalue()

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, which stay to be read; fewer at the end of the stream or before damage."""
        while len(self._buffer) - self._at < size and self._held is None and self._pending is None:
            rest = self._buffer[self._at :]
            try:
                more = self._next(self.position + len(rest))
            except Damaged as damage:
                self._pending = damage
                break
            if not more:
                break
            self._buffer, self._at = rest + more, 0
        return self._buffer[self._at : self._at + size]

    def skip(self, size: int) -> int:
        """Passes over `size` bytes without holding them; returns how many there were."""
        left = size
        while left > 0:
            step = min(left, len(self._buffer) - self._at)
            self._at += step
            self.position += step
            left -= step
            if left > 0 and not self._fill():
                break
        return size - left

    @property
    def left(self) -> int | None:
        """The bytes that are left of the stream; None where that is not known (yet)."""
        total = self._decoder.total if self._total is None else self._total
        return None if total is None else total - self.position

    def member_at(self, position: int) -> int | None:
        """The stored byte at which the member begins whose first decoded byte is `position`, if there is one."""
        return self._decoder.starts.get(position)

    def member_of(self, position: int) -> int:
        """The stored byte at which the member begins that holds a decoded position, one of the latest."""
        begin = self._decoder.starts_before(position)
        return -1 if begin is None else self._decoder.starts[begin]

    def spoiled(self, position: int) -> Damaged | None:
        """The damage, not raised before, of the member that holds a decoded position and is about to end: its checksum
        is told only then."""
        self.peek(_LITTLE)
        found = self._pending
        if found is None or found.member < 0 or found.member != self.member_of(position):
            return None
        self._pending = None
        return found

    def next_member(self) -> bool:
        """Goes on behind the fence. False: the stream has not stopped at one."""
        if self._held is None:
            return False
        self._buffer, self._at, self._held = self._held, 0, None
        return True

    def rewind(self, position: int) -> bool:
        """Goes back to a decoded position. False, and nothing done, where its member is no longer known, or where what
        is read again would come to more than twice what has been read: so the work stays linear in the file."""
        self._furthest = max(self._furthest, self.position)
        allowed = _REREAD * self._furthest - self._reread
        if self.position - position > allowed:
            return False
        before = self._decoder.starts_before(position)
        if before is None or self.position - before > allowed:
            return False
        self._reread += self.position - before
        self._decoder.restart(before)
        self._buffer, self._at, self._held, self._pending = b"", 0, None, None
        self.position = before
        while before < position:
            passed = self.skip(position - before)
            before += passed
            if not passed and not self.next_member():
                break  # the file has changed meanwhile
        return True

    def recover(self) -> bool:
        """After `Damaged`: goes on with what can be read behind the damage. False: there is nothing more."""
        return self._decoder.recover()

    def _fill(self) -> bool:
        self._buffer, self._at = b"", 0
        if self._held is not None:
            return False
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending
        self._buffer = self._next(self.position)
        if not self._buffer and self._held is None:
            self._total = self.position
        return bool(self._buffer)

    def _next(self, position: int) -> bytes:
        data = self._decoder.fill(position)
        if self._fence is not None and self._decoder.fresh and self._fence(data):
            self._held = data
            return b""
        return data


class _Plain:
    """The bytes as they are stored, with the face of `Members`."""

    fresh = False

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self.starts: dict[int, int] = {}

    def fill(self, position: int) -> bytes:
        return self._stored.read()

    def recover(self) -> bool:
        return False  # only the disk itself can fail here

    @property
    def total(self) -> int | None:
        return self._stored.size

    def starts_before(self, position: int) -> int | None:
        return position

    def restart(self, position: int) -> None:
        self._stored.seek(position)
