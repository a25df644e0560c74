"""WARC files (ISO 28500) and their forerunner ARC, plain or in any coding of `decoders`: responses and resources that
are HTML or plain text, and conversion records (WET).

The framing is read here, over streams that stay bounded and go on behind damage. A record never reaches beyond a
member behind which another record begins. Where a record's length leads nowhere, reading goes on at the next beginning
of a record behind its header.

A document's offset is the stored byte of its member if the file has one member per record (as its first record shows),
else its first byte in the decoded stream. The k-th record that begins inside a member of a file of the first kind gets
k * 2^44 more: beyond all member offsets, so no two records share one, wherever the file is cut into units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources import arc
from data_pipeline.sources.archive_cuts import cuts
from data_pipeline.sources.files import find_files
from data_pipeline.sources.http import BodyDamaged, BodyTooLarge, Head, decode_body, parse_fields, parse_head
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.record_starts import (
    HEAD_LIMIT,
    LINE_LIMIT,
    begins_record,
    content_length,
    is_blank,
    is_version,
)
from data_pipeline.sources.stored import Damaged, StoredFile
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = 2
LIBRARIES: tuple[str, ...] = ("brotli", "lz4", "zstandard")
SUFFIXES = (".warc", ".wet", ".arc")

_HTML = ("text/html", "application/xhtml+xml")
_LOOKS_LIKE_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FIELDS_END = re.compile(rb"(?:\A|\n)\r?\n")
_RECORD_INSIDE = re.compile(rb"\nWARC/\d{1,4}\.\d{1,4}\r?\n[A-Za-z-]{1,80}:")
_TYPES = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})
_INNER = 1 << 44
_FOLLOWING = 1 << 12


def plan(source: Source, unit_bytes: int) -> Plan:
    """Finds the files and cuts the large ones where records begin."""
    found = find_files(source, SUFFIXES)
    pieces = [
        Piece(file.relative_path, file.path, start, end, whole=(start, end) == (0, file.size), xxh3=file.xxh3)
        for file in found.files
        for start, end in cuts(file.path, file.size, file.coding, unit_bytes)
    ]
    return Plan(pieces, found.left_out, found.problems)


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """Documents' records in order; all others are counted by type."""

    def told(by: int) -> None:
        tally.input_bytes += by
        advance(by)

    with StoredFile(unit.path, unit.start, unit.end, told, fence=begins_record) as file:
        reader = _Reader(file, unit, limits, tally)
        while True:
            try:
                yield from reader.records()
                return
            except Damaged as damage:
                reader.interrupted(damage)
                if not file.recover():
                    return


@dataclass
class _Block:
    """What a record's header says. begin: decoded position of its block."""

    offset: int
    url: str
    date: str
    begin: int
    length: int


class _Reader:
    def __init__(self, file: StoredFile, unit: Unit, limits: Limits, tally: SourceTally) -> None:
        self._file, self._unit, self._limits, self._tally = file, unit, limits, tally
        # Only files of one member per record are cut inside a coding.
        self._member_per_record: bool | None = True if unit.start and file.coding != "plain" else None
        self._arc: bool | None = None
        self._inside = False
        self._lost = False
        self._inner = (-1, 0)

    def records(self) -> Iterator[Record]:
        """From where the stream stands to its end. Raises Damaged; may be called again after recovery."""
        while True:
            position = self._file.position
            line = self._file.line(LINE_LIMIT)
            if not line.size:
                if self._file.next_member():
                    continue
                return
            if is_blank(line.data):
                continue  # two of them end each record
            made, begun = None, False
            if self._arc is not True and is_version(line.data) and self._header_follows():
                self._arc, begun = False, True
                made = self._warc(self._begin(position))
            elif self._arc is not False and (found := arc.parse_line(line.data)) is not None:
                self._arc, begun = True, True
                made = self._arc_record(self._begin(position), found)
            if begun:
                self._inside = False
            elif not self._lost:  # said once for each stretch of bytes that belong to no record
                self._damage("not a record", self._offset(position), f"expected a record, found {line.data[:60]!r}")
                self._lost = True
            if made is not None:
                yield made

    def interrupted(self, damage: Damaged) -> None:
        """Counts damage of the stream: as that of a record, where it cut one short."""
        kind = "record in a damaged stream" if self._inside else "stream"
        self._damage(kind, damage.offset, damage.message)
        self._inside, self._lost = False, True

    def _header_follows(self) -> bool:
        # Among bytes that belong to no record a version line alone proves little: pages quote them.
        return not self._lost or begins_record(b"WARC/1.0\n" + self._file.peek(256))

    def _begin(self, position: int) -> int:
        """Counts a record that begins at a decoded position; returns its offset."""
        self._tally.records += 1
        self._inside, self._lost = True, False
        return self._offset(position)

    def _offset(self, position: int) -> int:
        member = self._file.member_at(position)
        if self._member_per_record is None:
            if position == 0:
                return 0
            self._member_per_record = member is not None
        if not self._member_per_record:
            return position
        if member is not None:
            return member
        member = self._file.member_of(position)
        self._inner = (member, self._inner[1] + 1 if self._inner[0] == member else 1)
        return member + self._inner[1] * _INNER

    def _damage(self, kind: str, offset: int, message: str) -> None:
        self._tally.damage(kind, self._unit.relative_path, offset, message)

    def _warc(self, offset: int) -> Record | None:
        """The record whose version line has been read, passed to its end; None if it is no document."""
        lines: list[bytes] = []
        size = 0
        # Nearly every header is at hand in one piece; any other is read line by line.
        end = _FIELDS_END.search(self._file.peek(_FOLLOWING))
        if end is not None:
            lines = self._file.read(end.end()).split(b"\n")
        while end is None and size < HEAD_LIMIT:
            line = self._file.line(min(LINE_LIMIT, HEAD_LIMIT - size))
            size += line.size
            if not line.size or line.data in (b"\r\n", b"\n"):
                break
            if line.data:
                lines.append(line.data)
        if size >= HEAD_LIMIT:
            self._damage("record header too long", offset, f"over {HEAD_LIMIT} bytes")
            self._lost = True
            return None
        fields = parse_fields(lines)
        url, date = fields.get("warc-target-uri", "").strip("<> "), fields.get("warc-date", "")
        block = _Block(offset, url, date, self._file.position, content_length(fields))
        if not self._fits(block, fields.get("content-length", "none")):
            return None
        kind = fields.get("warc-type", "").lower()
        content_type = fields.get("content-type", "")
        if kind == "response":
            if content_type and not content_type.lower().startswith("application/http"):
                return self._pass(block, block.length, "response that is not HTTP")
            return self._response(block)
        if kind == "conversion":
            # Text out of other formats, in UTF-8.
            head = Head(200, {"content-type": f"{content_type or 'text/plain'}; charset=utf-8"})
            return self._body(block, head, b"", block.length)
        if kind == "resource":
            # Crawlers keep their own logs as text/plain resources.
            if content_type.lower().startswith(_HTML):
                return self._body(block, Head(200, {"content-type": content_type}), b"", block.length)
            return self._pass(block, block.length, "resource that is not HTML")
        return self._pass(block, block.length, kind if kind in _TYPES else "record of unknown type")

    def _arc_record(self, offset: int, line: arc.ArcLine) -> Record | None:
        block = _Block(offset, line.url, line.date, self._file.position, line.length)
        if not self._fits(block, "no number"):
            return None
        if line.scheme == arc.VERSION_BLOCK:
            return self._pass(block, block.length, arc.VERSION_BLOCK)
        if line.scheme not in ("http", "https"):
            return self._pass(block, block.length, "response that is not HTTP")
        return self._response(block)

    def _fits(self, block: _Block, found: str) -> bool:
        """Whether the block can be read; else it is damaged, and what follows is searched for the next record."""
        left = self._file.left
        if block.length < 0:
            self._damage("no content length", block.offset, f"found {found[:40]!r}")
        elif left is not None and block.length > left:
            self._truncated(block, block.length - left)
        else:
            return True
        self._lost = True
        return False

    def _truncated(self, block: _Block, missing: int) -> None:
        self._damage("truncated record", block.offset, f"{missing} bytes are missing at the end")

    def _response(self, block: _Block) -> Record | None:
        begin = self._file.read(min(block.length, HEAD_LIMIT))
        end = _HEAD_END.search(begin)
        left = block.length - len(begin)
        if end is None and left and len(begin) == HEAD_LIMIT:
            if self._whole(block, left):
                self._damage("HTTP header too long", block.offset, f"over {HEAD_LIMIT} bytes")
            return None
        head = parse_head((begin[: end.start()] if end else begin).splitlines())
        if not head.status:
            return self._pass(block, left, "response without a status line")
        if not 200 <= head.status < 300:
            return self._pass(block, left, f"HTTP status {head.status}")
        return self._body(block, head, begin[end.end() :] if end else b"", left)

    def _body(self, block: _Block, head: Head, begin: bytes, left: int) -> Record | None:
        """begin: of the body, read already. left: the bytes of the record that are still to be read."""
        kind = head.content_type
        if kind and kind not in _HTML and kind != "text/plain":
            return self._pass(block, left, f"content type {_family(kind)}")
        size = len(begin) + left
        if size > self._limits.page_bytes:
            return self._made(block, too_large=size) if self._whole(block, left) else None
        body = self._file.read(left, after=begin)
        if len(body) < size:
            self._short(block, size - len(body))
            return None
        if not self._followed(block, body):
            return None
        try:
            body = decode_body(body, head, self._limits.page_bytes)
        except BodyTooLarge as error:
            return self._made(block, too_large=error.size)
        except BodyDamaged as error:
            self._damage("damaged HTTP body", block.offset, str(error))
            return None
        if not kind and not _LOOKS_LIKE_HTML.match(body[:4096]):
            self._tally.skip("no content type, not HTML by its beginning")
            return None
        record = self._made(block)
        record.charset = head.charset
        if kind == "text/plain":
            record.plain = body
        else:
            record.html = body
        return record

    def _pass(self, block: _Block, left: int, kind: str) -> Record | None:
        """Passes over a record that is no document."""
        if self._whole(block, left):
            self._tally.skip(kind)
        return None

    def _whole(self, block: _Block, left: int) -> bool:
        """Passes over the rest of a block. False: it is damaged, and counted so."""
        passed = self._file.skip(left)
        if passed < left:
            self._short(block, left - passed)
            return False
        if not self._followed(block, None) and self._file.rewind(block.begin):
            pass  # read on behind the header: records may lie inside what its length claims
        return True

    def _short(self, block: _Block, missing: int) -> None:
        self._truncated(block, missing)
        self._lost = True
        if self._file.left == 0:  # the end of the stream, not of a member: records may have been passed over
            self._file.rewind(block.begin)

    def _followed(self, block: _Block, body: bytes | None) -> bool:
        """Whether a block ends where a record should: before the next, or at the end. body: what it holds, if held: it
        is then damaged, and counted so, only if records begin inside it. Raises Damaged where its member is, though its
        bytes could be read."""
        damage = self._file.spoiled(block.begin) if self._member_per_record is not False else None
        if damage is not None:
            raise damage
        if self._member_per_record:
            return True  # the fence guards it
        following = self._file.peek(_FOLLOWING).lstrip(b"\r\n")
        if not following or begins_record(following):
            return True
        if body is None:
            return False
        if not _RECORD_INSIDE.search(body) or not self._file.rewind(block.begin):
            return True
        self._damage("wrong content length", block.offset, "other records begin inside it, and none behind it")
        self._lost = True
        return False

    def _made(self, block: _Block, too_large: int = 0) -> Record:
        metadata = {"crawl_date": block.date} if block.date else {}
        return Record(self._unit.relative_path, block.offset, url=block.url, metadata=metadata, too_large=too_large)


def _family(content_type: str) -> str:
    family = content_type.split("/")[0]
    known = ("application", "audio", "font", "image", "model", "multipart", "text", "video")
    return f"{family}/*" if family in known else "unknown"
