"""Where WARC and ARC files are cut into units: at beginnings of records that are proven to be some.

Plain files are walked from header to header, each of which says where the next one is; behind a record whose length
leads nowhere nothing is cut any more. A gzip file of one member per record is entered in its middle: a cut is a place
from which members that begin with records follow each other without a gap, for 128 kB or to the end of the file. That
is more than a stored deflate block can hold (65,535 bytes), so an archive that a page carries inside its compressed
bytes does not count; the decoder's own checks guard the rest. All other files stay whole.

The cuts are a function of the file's bytes and of `unit_bytes` alone, and planning reads but a small share of a file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO

from data_pipeline.sources import arc
from data_pipeline.sources.decoders import MAGIC
from data_pipeline.sources.http import parse_fields
from data_pipeline.sources.record_starts import HEAD_LIMIT, begins_record, content_length, is_version
from data_pipeline.sources.stored import open_stored

PROOF = 1 << 17
"""Stored bytes of a gzip file that must be whole members behind a cut."""

_READ = 1 << 16
_MOST = 1 << 20
_OUTPUT = 1 << 18
_FIRST = 1 << 12
# Of stored bytes that a search for one cut may decode; beyond, the unit goes on to the next multiple of `unit_bytes`.
_EFFORT = 1 << 26
# A member that has led on for so long is taken for one.
_LONG_MEMBER = 1 << 22
_FIRST_RECORD = 1 << 22


def cuts(path: str, size: int, coding: str, unit_bytes: int) -> Iterator[tuple[int, int]]:
    """The stored bytes [start, end) of each unit of a file. Raises OSError."""
    start = 0
    if size > unit_bytes and coding in ("plain", "gzip"):
        with open_stored(path) as file:
            found = _plain(file, size, unit_bytes) if coding == "plain" else _gzip(file, size, unit_bytes)
            for cut in found:
                yield start, cut
                start = cut
    yield start, size


def _plain(file: IO[bytes], size: int, unit_bytes: int) -> Iterator[int]:
    """Beginnings of records, each the first at or behind a multiple of `unit_bytes`."""
    start = at = 0
    while at < size:
        if at >= (start // unit_bytes + 1) * unit_bytes:
            yield at
            start = at
        following = _next_record(file, at, size)
        if following is None:
            return
        at = following


def _next_record(file: IO[bytes], at: int, size: int) -> int | None:
    """The beginning of the record behind the one at `at`; `size` at the end, None where none is."""
    head = _read(file, at, _FIRST)
    line_end = head.find(b"\n") + 1
    if is_version(head[:line_end]):
        end, separator = _head_end(head)
        if end < 0 and len(head) == _FIRST:
            head = _read(file, at, HEAD_LIMIT)
            end, separator = _head_end(head)
        if end < 0:
            return None
        length = content_length(parse_fields(head[line_end:end].splitlines()))
        behind = at + end + separator + length
    else:
        line = arc.parse_line(head[:line_end])
        length = line.length if line else -1
        behind = at + line_end + length
    if length < 0 or behind > size:
        return None
    following = _read(file, behind, _FIRST)
    blank = len(following) - len(following.lstrip(b"\r\n"))
    if behind + blank == size:
        return size
    return behind + blank if begins_record(following[blank:]) else None


def _head_end(head: bytes) -> tuple[int, int]:
    """Where a header's last field ends, and the bytes of the line ends behind it; -1 where it does not end."""
    found = [(head.find(end), len(end)) for end in (b"\r\n\r\n", b"\n\n", b"\n\r\n")]
    return min((pair for pair in found if pair[0] >= 0), default=(-1, 0))


def _gzip(file: IO[bytes], size: int, unit_bytes: int) -> Iterator[int]:
    if not _one_record_per_member(file, size):
        return
    start = 0
    while (target := (start // unit_bytes + 1) * unit_bytes) < size:
        cut = _search(file, target, size)
        if cut is None:
            start = target  # nothing is cut here; the next multiple may do
        elif cut == size:
            return
        else:
            yield cut
            start = cut


def _one_record_per_member(file: IO[bytes], size: int) -> bool:
    """Whether the first member holds the first record and no more, and a record begins the second."""
    inflate = zlib.decompressobj(wbits=31)
    decoded = bytearray()
    at = 0
    while not inflate.eof:
        piece = inflate.unconsumed_tail or _read(file, at, _READ)
        if not piece or at > _FIRST_RECORD or len(decoded) > _FIRST_RECORD:
            return False
        at += 0 if inflate.unconsumed_tail else len(piece)
        try:
            decoded += inflate.decompress(piece, _OUTPUT)
        except zlib.error:
            return False
    if _record_size(bytes(decoded)) is None:
        return False
    end = _skip_zeros(file, at - len(inflate.unused_data), size)
    return end < size and _member(file, end, size)[0] > end


def _record_size(data: bytes) -> int | None:
    """The bytes of the one record that these are; None if they are not one record."""
    line_end = data.find(b"\n") + 1
    if is_version(data[:line_end]):
        end, separator = _head_end(data)
        length = content_length(parse_fields(data[line_end:end].splitlines())) if end >= 0 else -1
        behind = end + separator + length
    else:
        line = arc.parse_line(data[:line_end])
        length = line.length if line else -1
        behind = line_end + length
    whole = length >= 0 and behind <= len(data) and not data[behind:].strip(b"\r\n")
    return behind if whole else None


def _search(file: IO[bytes], target: int, size: int) -> int | None:
    """The first cut at or behind `target`; `size` if there is none, None if the search was given up."""
    at, effort = target, 0
    while effort <= _EFFORT:
        found = _find(file, MAGIC["gzip"], at)
        if found < 0:
            return size
        effort += found - at
        behind, proven, work = _chain(file, found, size)
        if proven:
            return found
        # Members that lead nowhere all lead to the same nowhere.
        at = max(behind, found + 1)
        effort += work
    return None


def _find(file: IO[bytes], what: bytes, at: int) -> int:
    """The next place of some bytes in a file, at or behind `at`; -1 if there is none."""
    step = _FIRST
    while len(data := _read(file, at, step)) >= len(what):
        found = data.find(what)
        if found >= 0:
            return at + found
        at += len(data) - len(what) + 1
        step = min(2 * step, _MOST)
    return -1


def _chain(file: IO[bytes], begin: int, size: int) -> tuple[int, bool, int]:
    """Follows members from `begin`: where they end, whether that proves them, and the stored bytes decoded."""
    at, work = begin, 0
    while at < size and at - begin < PROOF:
        end, used = _member(file, at, size)
        work += used
        if end < 0:
            return at, False, work
        at = _skip_zeros(file, end, size)
    return at, True, work


def _member(file: IO[bytes], begin: int, size: int) -> tuple[int, int]:
    """Where the member that begins at `begin` with a record ends (-1 where there is no such member, or it is damaged),
    and the stored bytes decoded to know. Of a long one only its first part is looked at."""
    inflate = zlib.decompressobj(wbits=31)
    first = b""
    at = begin
    data = b""
    step = _FIRST
    while not inflate.eof:
        if not data:
            data = _read(file, at, step)
            at += len(data)
            step = _READ
        elif at - begin > _LONG_MEMBER:
            return at, at - begin
        try:
            output = inflate.decompress(data, _OUTPUT)
        except zlib.error:
            return -1, at - begin
        ended = not data and not output
        data = inflate.unconsumed_tail
        if len(first) < _FIRST:
            first += output[:_FIRST]
            if len(first) >= _FIRST or inflate.eof or ended:
                if not begins_record(first):
                    return -1, at - begin
            elif len(first) >= 5 and not (first.startswith(b"WARC/") or first[:1].isalpha()):
                return -1, at - begin
        if ended and not inflate.eof:
            return -1, at - begin
    return at - len(inflate.unused_data), at - begin


def _skip_zeros(file: IO[bytes], at: int, size: int) -> int:
    """The first byte at or behind `at` that is none of the padding between members."""
    step = 64
    while at < size:
        data = _read(file, at, step)
        rest = data.lstrip(b"\0")
        at += len(data) - len(rest)
        if rest or not data:
            break
        step = min(2 * step, _MOST)
    return at


def _read(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
