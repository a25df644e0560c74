"""Stored files as streams of decoded bytes: plain, gzip or zstandard, told apart by their first bytes.

Memory is bounded whatever a file decodes to. Damage raises `Damaged` once every byte decoded before it has been handed
out (but for the line or piece that runs into it: that is damaged too), and `recover` goes on with the next member or
frame that can be found.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

GZIP = b"\x1f\x8b\x08"
ZSTD = b"\x28\xb5\x2f\xfd"
_UNREADABLE = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x04\x22\x4d\x18": "lz4"}

_READ = 1 << 17
_GZIP_OUTPUT = 1 << 18
# A zstandard block of 4 bytes can stand for 128 kB: this much input decodes to 32 MB at most.
_ZSTD_INPUT = 1 << 10
_ZSTD_WINDOW = 1 << 27
# Beyond, the rest of a file is given up: trying at each byte that looks like a beginning would take for ever.
_MAX_RECOVERIES = 1000


class Damaged(Exception):
    """A place where the stored bytes make no sense. offset: stored byte at which it showed."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message, self.offset = message, offset


class Line(NamedTuple):
    """data: with its line end; b"" where `size`, its bytes, is above the limit (or 0: the end of the stream)."""

    data: bytes
    size: int


def coding_of(path: str) -> str:
    """`plain`, `gzip` or `zstd`; `bzip2`, `xz` or `lz4`, which are not read. Raises OSError."""
    with Path(path).open("rb") as file:
        head = file.read(8)
    if head.startswith(GZIP):
        return "gzip"
    # Files of several frames (pzstd) begin with a skippable one.
    if head.startswith(ZSTD) or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    return next((name for magic, name in _UNREADABLE.items() if head.startswith(magic)), "plain")


class StoredFile:
    """The decoded bytes of a file, or of the bytes [start, end) of a plain one.

    position: of the next byte in the decoded stream (of a plain slice: in the file). told: called with the number of
    stored bytes, as they are read.
    """

    def __init__(
        self, path: str, start: int = 0, end: int | None = None, told: Callable[[int], None] = lambda by: None
    ) -> None:
        coding = coding_of(path)
        self._file = Path(path).open("rb")  # noqa: SIM115 (closed by __exit__)
        stored = _Stored(self._file, start, end, told)
        self._decoder: _Plain | _Members
        if coding == "gzip":
            self._decoder = _Members(stored, GZIP, _Gzip)
        elif coding == "zstd":
            self._decoder = _Members(stored, ZSTD, _Zstd)
        else:
            self._decoder = _Plain(stored)
        self.members = coding == "gzip"
        self.position = start
        self._buffer = b""
        self._at = 0

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

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end of the stream only."""
        parts: list[bytes] = []
        while size > 0:
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            self.position += len(piece)
            size -= len(piece)
            parts.append(piece)
            if size > 0 and not self._fill():
                break
        return b"".join(parts)

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

    def member_at(self, position: int) -> int | None:
        """The stored byte at which the gzip member begins whose first decoded byte is `position`, if there is one."""
        return self._decoder.starts.get(position)

    def recover(self) -> bool:
        """After `Damaged`: goes on with what can be read behind the damage. False: there is nothing more."""
        return self._decoder.recover()

    def _fill(self) -> bool:
        self._buffer, self._at = b"", 0
        self._buffer = self._decoder.fill(self.position)
        return bool(self._buffer)


class _Stored:
    """The bytes [start, end) as they lie on the disk. at: file position of the next."""

    def __init__(self, file: IO[bytes], start: int, end: int | None, told: Callable[[int], None]) -> None:
        self._file, self._end, self._told = file, end, told
        self.at = start
        if start:
            file.seek(start)

    def read(self) -> bytes:
        size = _READ if self._end is None else min(_READ, self._end - self.at)
        try:
            data = self._file.read(size) if size > 0 else b""
        except OSError as error:
            raise Damaged(f"the file cannot be read on: {error.strerror or error}", self.at) from error
        self.at += len(data)
        self._told(len(data))
        return data


class _Plain:
    def __init__(self, stored: _Stored) -> None:
        self._stored = stored
        self.starts: dict[int, int] = {}

    def fill(self, position: int) -> bytes:
        return self._stored.read()

    def recover(self) -> bool:
        return False  # only the disk itself can fail here


class _Broken(Exception):
    """A member that cannot be decoded further. output: what this step decoded before."""

    def __init__(self, message: str, output: bytes = b"") -> None:
        super().__init__(message)
        self.output = output


class _Gzip:
    """One gzip member; its checksum and length are verified at its end."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    def step(self, data: bytes) -> tuple[bytes, bytes, bool]:
        """Some output, the input left, and whether the member is complete. Raises _Broken."""
        before = self._inflate.copy()
        try:
            output = self._inflate.decompress(data, _GZIP_OUTPUT)
        except zlib.error as error:
            raise _Broken(str(error), _until_error(before, data)) from error
        if self._inflate.eof:
            return output, self._inflate.unused_data, True
        return output, self._inflate.unconsumed_tail, False


def _until_error(inflate: Any, data: bytes) -> bytes:
    """What can be decoded of `data` at most: zlib keeps the output of a call that ends in an error to itself."""
    parts: list[bytes] = []
    with contextlib.suppress(zlib.error):
        for at in range(len(data)):
            parts.append(inflate.decompress(data[at : at + 1]))
    return b"".join(parts)


class _Zstd:
    """One zstandard frame."""

    def __init__(self) -> None:
        import zstandard

        self._frame: Any = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

    def step(self, data: bytes) -> tuple[bytes, bytes, bool]:
        import zstandard

        try:
            output = self._frame.decompress(data[:_ZSTD_INPUT])
        except zstandard.ZstdError as error:
            raise _Broken(str(error)) from error
        rest = data[_ZSTD_INPUT:]
        return output, self._frame.unused_data + rest if self._frame.eof else rest, self._frame.eof


class _Members:
    """A sequence of gzip members or zstandard frames.

    starts: stored offset of the members by the position of their first decoded byte; only the latest are kept.
    """

    def __init__(self, stored: _Stored, magic: bytes, member: type[_Gzip] | type[_Zstd]) -> None:
        self._stored, self._magic, self._member = stored, magic, member
        self._current: _Gzip | _Zstd | None = None
        self._input = b""
        self._broken: Damaged | None = None
        self._recoveries = 0
        self._last_start = -1
        self.starts: dict[int, int] = {}

    def fill(self, position: int) -> bytes:
        """The next decoded bytes, the first of which has this position; b"" at the end. Raises Damaged."""
        while True:
            if self._broken is not None:
                broken, self._broken = self._broken, None
                raise broken
            if not self._input:
                self._input = self._stored.read()
            if self._current is None and not self._begin(position):
                return b""
            assert self._current is not None
            before, ended = self._offset, not self._input
            try:
                output, self._input, complete = self._current.step(self._input)
            except _Broken as error:
                self._current = None
                self._broken = Damaged(f"damaged compressed data: {error}", before)
                if error.output:
                    return error.output
                continue
            if complete:
                self._current = None
            if output:
                return output
            if ended and not complete:
                self._current = None
                raise Damaged("the file ends before its compressed stream does", before)

    def recover(self) -> bool:
        self._recoveries += 1
        while self._recoveries <= _MAX_RECOVERIES:
            # Never the member that has just failed.
            found = self._input.find(self._magic, max(0, self._last_start + 1 - self._offset))
            if found >= 0:
                self._input = self._input[found:]
                return True
            more = self._stored.read()
            if not more:
                self._input = b""
                return False
            self._input = self._input[-len(self._magic) + 1 :] + more
        self._input = b""
        while self._stored.read():
            pass  # given up, but its bytes are counted as read
        return False

    @property
    def _offset(self) -> int:
        return self._stored.at - len(self._input)

    def _begin(self, position: int) -> bool:
        """Starts the next member. False at the end of the file."""
        # Zeros between and after members are padding, as tapes and block devices leave it.
        self._input = self._input.lstrip(b"\0")
        while len(self._input) < 4 and (more := self._stored.read()):
            self._input = (self._input + more).lstrip(b"\0")
        if not self._input:
            return False
        if self._magic == GZIP and not self._input.startswith(GZIP):
            raise Damaged("the bytes after a gzip member are no gzip member", self._offset)
        if len(self.starts) >= 4096:
            self.starts = {at: start for at, start in self.starts.items() if at >= position}
        self.starts[position] = self._last_start = self._offset
        self._current = self._member()
        return True
