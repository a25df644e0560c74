"""The codings of stored files: gzip, zstandard, lz4, bzip2 and xz, each a sequence of members, decoded in small steps.

Whatever a step is given, it hands out a few megabytes at most; what a member asks for as its window is bounded by
`MAX_WINDOW`. (bzip2 and xz call members streams; zstandard and lz4 call them frames.)
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from typing import IO, Any, Protocol

READ = 1 << 17
_OUTPUT = 1 << 18
# Input of one call: what a decoder does not use of it is copied, so it should be small beside a member.
_PIECE = 1 << 14
# A zstandard block of 4 bytes can stand for 128 kB: this much input decodes to 8 MB at most.
_ZSTD_PIECE = 1 << 8
# lz4 stands for 255 bytes with one at most, in blocks of up to 4 MB that come out at once.
_LZ4_PIECE = 1 << 12
MAX_WINDOW = 1 << 25
"""Bytes of decoded data that a member may refer back to: enough for `zstd -20` and `xz -8`, and for every default.
`zstd --long`, `zstd --ultra -22` and `xz -9` ask for 64 MB or more in each worker: such a file is reported as damaged."""

# Beginnings in a row that lead to nothing; beyond, the rest of a file is given up.
_MAX_RECOVERIES = 1000
_SKIPPABLE = range(0x50, 0x60)
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_MAX_DICTIONARY = 1 << 23
_FIRST_BYTES = 1 << 12


class Damaged(Exception):
    """A place where the stored bytes make no sense. offset: stored byte at which it showed. member: stored byte at which
    the member begins that is damaged; -1 where it lies in none."""

    def __init__(self, message: str, offset: int, member: int = -1) -> None:
        super().__init__(message)
        self.message, self.offset, self.member = message, offset, member


class Stored:
    """The bytes [start, end) as they lie on the disk. at: file position of the next. told: called with the number of
    bytes, as they are read for the first time."""

    def __init__(self, file: IO[bytes], start: int, end: int | None, told: Callable[[int], None]) -> None:
        self._file, self.end, self._told = file, end, told
        self.at = self._furthest = start
        if start:
            file.seek(start)

    def read(self) -> bytes:
        size = READ if self.end is None else min(READ, self.end - self.at)
        try:
            data = self._file.read(size) if size > 0 else b""
        except OSError as error:
            raise Damaged(f"the file cannot be read on: {error.strerror or error}", self.at) from error
        self.at += len(data)
        if self.at > self._furthest:
            self._told(self.at - self._furthest)
            self._furthest = self.at
        return data

    @property
    def size(self) -> int:
        """The file position behind the last of them."""
        if self.end is None:
            self.end = self._file.seek(0, 2)
            self._file.seek(self.at)
        return self.end

    def seek(self, at: int) -> None:
        self._file.seek(at)
        self.at = at


class Broken(Exception):
    """A member that cannot be decoded further. output: what this step decoded before."""

    def __init__(self, message: str, output: bytes = b"") -> None:
        super().__init__(message)
        self.output = output


class Member(Protocol):
    """The decoder of one member. back: once it is complete, input of earlier steps that was not part of it."""

    back: bytes

    def step(self, data: memoryview) -> tuple[bytes, int, bool]:
        """Some output, the bytes of input used, and whether the member is complete. Raises Broken."""


class Gzip:
    """One gzip member; its checksum and length are verified at its end."""

    back = b""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    def step(self, data: memoryview) -> tuple[bytes, int, bool]:
        piece = data[:_PIECE]
        before = self._inflate.copy()
        try:
            output = self._inflate.decompress(piece, _OUTPUT)
        except zlib.error as error:
            raise Broken(str(error), _until_error(before, piece)) from error
        if self._inflate.eof:
            return output, len(piece) - len(self._inflate.unused_data), True
        return output, len(piece) - len(self._inflate.unconsumed_tail), False


def _until_error(inflate: Any, data: memoryview) -> bytes:
    """What can be decoded of `data` at most: zlib keeps the output of a call that ends in an error to itself."""
    parts: list[bytes] = []
    with contextlib.suppress(zlib.error):
        for at in range(len(data)):
            parts.append(inflate.decompress(data[at : at + 1]))
    return b"".join(parts)


class Zstd:
    """One zstandard frame."""

    back = b""

    def __init__(self, dictionary: bytes = b"") -> None:
        import zstandard

        known = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        decompressor = zstandard.ZstdDecompressor(dict_data=known, max_window_size=MAX_WINDOW)
        self._frame: Any = decompressor.decompressobj()

    def step(self, data: memoryview) -> tuple[bytes, int, bool]:
        import zstandard

        parts: list[bytes] = []
        used = size = 0
        while used < len(data) and size < _OUTPUT:
            piece = data[used : used + _ZSTD_PIECE]
            try:
                output = self._frame.decompress(piece)
            except zstandard.ZstdError as error:
                message = str(error).removeprefix("zstd decompressor error: ")
                if "too much memory" in message:
                    message = f"its window is above {MAX_WINDOW >> 20} MB (zstd --long or --ultra)"
                raise Broken(message, b"".join(parts)) from error
            used += len(piece)
            size += len(output)
            parts.append(output)
            if self._frame.eof:
                return b"".join(parts), used - len(self._frame.unused_data), True
        return b"".join(parts), used, False


class _Bounded:
    """A member whose decoder takes a limit on its output, as the standard library's and lz4's do."""

    back = b""

    def __init__(self, decoder: Any, piece: int) -> None:
        self._decoder, self._piece = decoder, piece

    def step(self, data: memoryview) -> tuple[bytes, int, bool]:
        piece = data[: self._piece] if self._decoder.needs_input else data[:0]
        try:
            output = self._decoder.decompress(piece, _OUTPUT)
        except Exception as error:  # OSError, EOFError, LZMAError, RuntimeError: every library its own
            message = str(error)
            if "emory usage limit" in message:
                message = f"its window is above {MAX_WINDOW >> 20} MB (xz -9)"
            raise Broken(message) from error
        if self._decoder.eof:
            unused = self._decoder.unused_data or b""
            self.back = unused[: max(0, len(unused) - len(piece))]
            return output, max(0, len(piece) - len(unused)), True
        return output, len(piece), False


class Bzip2(_Bounded):
    """One bzip2 stream."""

    def __init__(self) -> None:
        import bz2

        super().__init__(bz2.BZ2Decompressor(), _PIECE)


class Xz(_Bounded):
    """One xz stream."""

    def __init__(self) -> None:
        import lzma

        # A decoder needs its window and 30 kB or so.
        super().__init__(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW + (1 << 20)), _PIECE)


class Lz4(_Bounded):
    """One lz4 frame."""

    def __init__(self) -> None:
        import lz4.frame

        super().__init__(lz4.frame.LZ4FrameDecompressor(), _LZ4_PIECE)


MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
}
"""The first bytes of a member of each coding."""

_MEMBERS: dict[str, Callable[[], Member]] = {"gzip": Gzip, "zstd": Zstd, "lz4": Lz4, "bzip2": Bzip2, "xz": Xz}


def coding_of_head(head: bytes) -> str:
    """`plain` or a key of `MAGIC`, by the first bytes of a file (16 or more)."""
    # zstandard and lz4 share their skippable frames; files of several frames (pzstd) begin with one.
    if len(head) > 12 and head[0] in _SKIPPABLE and head[1:4] == b"\x2a\x4d\x18":
        behind = head[8 + int.from_bytes(head[4:8], "little") :]
        return "lz4" if behind.startswith(MAGIC["lz4"]) else "zstd"
    found = next((name for name, magic in MAGIC.items() if head.startswith(magic)), "plain")
    if found == "bzip2" and head[3:4] not in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"):
        return "plain"
    return found


class Members:
    """The decoded bytes of a sequence of members.

    starts: stored offset of the members by the position of their first decoded byte; only the latest are kept.
    fresh: whether the last output began a member (it then has 4 kB or more, if the member has).
    """

    total: int | None = None

    def __init__(self, stored: Stored, coding: str) -> None:
        self._stored, self._coding = stored, coding
        self._magic, self._member = MAGIC[coding], _MEMBERS[coding]
        self._current: Member | None = None
        self._input = memoryview(b"")
        self._broken: Damaged | None = None
        self._fruitless = 0
        self._last_start = -1
        self.starts: dict[int, int] = {}
        self.fresh = False

    def fill(self, position: int) -> bytes:
        """The next decoded bytes, the first of which has this position; b"" at the end. Raises Damaged."""
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken
        begun = b""
        self.fresh = False
        while True:
            if not self._input:
                self._input = memoryview(self._stored.read())
            if self._current is None:
                if begun:
                    return begun
                if not self._begin(position):
                    return b""
                self.fresh = True
            assert self._current is not None
            before, ended = self._offset, not self._input
            try:
                output, used, complete = self._current.step(self._input)
            except Broken as error:
                self._current = None
                damaged = Damaged(f"damaged compressed data: {error}", before, self._last_start)
                if begun or error.output:
                    self._broken = damaged
                    return begun + error.output
                raise damaged from error
            self._input = self._input[used:]
            if complete:
                if self._current.back:
                    self._input = memoryview(self._current.back + bytes(self._input))
                self._current = None
                self._fruitless = 0
            elif ended and not output:
                self._current = None
                damaged = Damaged("the file ends before its compressed stream does", before, self._last_start)
                if begun:
                    self._broken = damaged
                    return begun
                raise damaged
            begun += output
            if len(begun) >= (_FIRST_BYTES if self.fresh else 1):
                return begun

    def recover(self) -> bool:
        """After `Damaged`: whether another member can be tried. Raises Damaged where it is given up."""
        self._fruitless += 1
        if self._fruitless > _MAX_RECOVERIES:
            at = self._offset
            while self._stored.read():
                pass  # given up, but its bytes are counted as read
            self._input = memoryview(b"")
            if self._fruitless == _MAX_RECOVERIES + 1:
                # Said by the next fill; the recovery after that is the last.
                self._broken = Damaged(f"given up after {_MAX_RECOVERIES} damaged beginnings in a row", at)
                return True
            return False
        data = bytes(self._input)
        while True:
            # Never the member that has just failed.
            found = data.find(self._magic, max(0, self._last_start + 1 - (self._stored.at - len(data))))
            if found >= 0:
                self._input = memoryview(data)[found:]
                return True
            more = self._stored.read()
            if not more:
                self._input = memoryview(b"")
                return False
            data = data[-len(self._magic) + 1 :] + more

    def starts_before(self, position: int) -> int | None:
        """The decoded position of the last member known to begin at or before another."""
        return next((at for at in reversed(self.starts) if at <= position), None)

    def restart(self, position: int) -> None:
        """Goes back to the member that begins at this decoded position, one of `starts`."""
        self._stored.seek(self.starts[position])
        self._input, self._current, self._broken = memoryview(b""), None, None

    @property
    def _offset(self) -> int:
        return self._stored.at - len(self._input)

    def _begin(self, position: int) -> bool:
        """Starts the next member. False at the end of the file."""
        while True:
            # Zeros between and after members are padding, as tapes and block devices leave it.
            if self._input[:1] == b"\0":
                self._input = memoryview(bytes(self._input).lstrip(b"\0"))
            while len(self._input) < 8 and (more := self._stored.read()):
                self._input = memoryview((bytes(self._input) + more).lstrip(b"\0"))
            if not self._input:
                return False
            head = bytes(self._input[:8])
            skippable = head[1:4] == b"\x2a\x4d\x18" and head[0] in _SKIPPABLE
            if not (skippable and self._coding in ("zstd", "lz4")):
                break
            self._skip_frame(head, first=self._offset == 0)
        if not head.startswith(self._magic):
            raise Damaged(f"the bytes after a {self._coding} member are no {self._coding} member", self._offset)
        if len(self.starts) >= 4096:
            self.starts = {at: start for at, start in self.starts.items() if at >= position}
        # The empty member begins where the next does: the last one wins, and comes last.
        self.starts.pop(position, None)
        self.starts[position] = self._last_start = self._offset
        self._current = self._member()
        return True

    def _skip_frame(self, head: bytes, first: bool) -> None:
        """Passes over a skippable frame, and keeps the dictionary that archives of `.warc.zst` begin with."""
        begin, size = self._offset, int.from_bytes(head[4:8], "little")
        self._input = self._input[8:]
        keep = first and head[:4] == _DICTIONARY and self._coding == "zstd" and size <= _MAX_DICTIONARY
        content = bytearray()
        while size > 0:
            piece = self._input[:size]
            if keep:
                content += piece
            size -= len(piece)
            self._input = self._input[len(piece) :]
            if size > 0:
                self._input = memoryview(self._stored.read())
                if not self._input:
                    raise Damaged("the file ends inside a skippable frame", begin)
        if keep:
            dictionary = _dictionary(bytes(content), begin)
            self._member = lambda: Zstd(dictionary)


def _dictionary(content: bytes, offset: int) -> bytes:
    import zstandard

    if not content.startswith(MAGIC["zstd"]):
        return content
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(content)
        found = reader.read(_MAX_DICTIONARY + 1)
    except zstandard.ZstdError as error:
        raise Damaged(f"damaged dictionary: {error}", offset) from error
    if len(found) > _MAX_DICTIONARY:
        raise Damaged(f"its dictionary is above {_MAX_DICTIONARY >> 20} MB", offset)
    return found
