"""WARC files (ISO 28500), plain, .gz or .zst: responses and resources that are HTML or plain text, and conversion
records (WET).

The framing is read here, over streams that stay bounded and go on behind damage; fastwarc's iterator stops at the
first damaged byte and gives all records of one gzip member the same position, so that their ids would be equal. One
file is one unit; cutting at gzip members is not done.

A document's offset is the stored byte of its gzip member if the file has one member per record (as its first record
shows), else its first byte in the decoded stream. A record that begins inside a member of a file of the first kind
gets the size of the file plus its decoded position: beyond all member offsets, so no two records share one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from configs.schema.source import Source
from data_pipeline.pool import advance
from data_pipeline.sources.files import find_files
from data_pipeline.sources.http import BodyDamaged, BodyTooLarge, Head, decode_body, parse_fields, parse_head
from data_pipeline.sources.record import Limits, Record, SourceTally
from data_pipeline.sources.stored import Damaged, StoredFile
from data_pipeline.units import Piece, Plan, Unit

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("fastwarc", "zstandard")
SUFFIXES = (".warc", ".wet")

_VERSION = re.compile(rb"WARC/\d+\.\d+\s*\Z")
_LENGTH = re.compile(r"[0-9]{1,18}")
_LINE_LIMIT = 1 << 16
_HEAD_LIMIT = 1 << 18
_HTML = ("text/html", "application/xhtml+xml")
_LOOKS_LIKE_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_TYPES = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})


def plan(source: Source, unit_bytes: int) -> Plan:
    """One unit per file, whatever its size."""
    found = find_files(source, SUFFIXES)
    pieces = [Piece(file.relative_path, file.path, 0, file.size, whole=True) for file in found.files]
    return Plan(pieces, found.left_out, found.problems)


def read(unit: Unit, source: Source, limits: Limits, tally: SourceTally) -> Iterator[Record]:
    """Documents' records in order; all others are counted by type."""

    def told(by: int) -> None:
        tally.input_bytes += by
        advance(by)

    with StoredFile(unit.path, unit.start, unit.end, told) as file:
        reader = _Reader(file, unit, limits, tally)
        while True:
            try:
                yield from reader.records()
                return
            except Damaged as damage:
                tally.damage("stream", unit.relative_path, damage.offset, damage.message)
                if not file.recover():
                    return


class _Reader:
    def __init__(self, file: StoredFile, unit: Unit, limits: Limits, tally: SourceTally) -> None:
        self._file, self._unit, self._limits, self._tally = file, unit, limits, tally
        self._member_per_record: bool | None = None
        self._lost = False

    def records(self) -> Iterator[Record]:
        """From where the stream stands to its end. Raises Damaged; may be called again after recovery."""
        while True:
            position = self._file.position
            line = self._file.line(_LINE_LIMIT)
            if not line.size:
                return
            if line.data in (b"\r\n", b"\n"):
                continue  # two of them end each record
            offset = self._offset(position)
            if not _VERSION.match(line.data):
                if not self._lost:  # said once for each stretch of bytes that belong to no record
                    message = f"expected a record, found {line.data[:60]!r}"
                    self._tally.damage("not a WARC record", self._unit.relative_path, offset, message)
                self._lost = True
                continue
            self._lost = False
            self._tally.records += 1
            record = self._record(offset)
            if record is not None:
                yield record

    def _offset(self, position: int) -> int:
        member = self._file.member_at(position)
        if self._member_per_record is None:
            if position == 0:
                return 0
            self._member_per_record = member is not None
        if not self._member_per_record:
            return position
        return member if member is not None else self._unit.size + position

    def _damage(self, kind: str, offset: int, message: str) -> None:
        self._tally.damage(kind, self._unit.relative_path, offset, message)

    def _lines(self, limit: int) -> tuple[list[bytes], int]:
        """Lines up to a blank one, of at most `limit` bytes with it; and the bytes passed."""
        lines: list[bytes] = []
        size = 0
        while size < limit:
            line = self._file.line(min(_LINE_LIMIT, limit - size))
            size += line.size
            if not line.size or line.data in (b"\r\n", b"\n"):
                break
            if line.data:
                lines.append(line.data)
        return lines, size

    def _record(self, offset: int) -> Record | None:
        """The record whose version line has been read, passed to its end; None if it is no document."""
        lines, size = self._lines(_HEAD_LIMIT)
        if size >= _HEAD_LIMIT:
            self._damage("record header too long", offset, f"over {_HEAD_LIMIT} bytes")
            self._lost = True
            return None
        fields = parse_fields(lines)
        if not _LENGTH.fullmatch(fields.get("content-length", "")):
            self._damage("no content length", offset, f"found {fields.get('content-length', 'none')[:40]!r}")
            self._lost = True
            return None
        length = int(fields["content-length"])
        kind = fields.get("warc-type", "").lower()
        if kind == "response":
            return self._response(offset, fields, length)
        if kind == "conversion":
            return self._body(offset, fields, Head(200, {"content-type": "text/plain; charset=utf-8"}), b"", length)
        if kind == "resource":
            # Crawlers keep their own logs as text/plain resources.
            if fields.get("content-type", "").lower().startswith(_HTML):
                return self._body(offset, fields, Head(200, {"content-type": fields["content-type"]}), b"", length)
            self._skip(offset, length, "resource that is not HTML")
            return None
        self._skip(offset, length, kind if kind in _TYPES else "record of unknown type")
        return None

    def _response(self, offset: int, fields: dict[str, str], length: int) -> Record | None:
        if not fields.get("content-type", "application/http").lower().startswith("application/http"):
            self._skip(offset, length, "response that is not HTTP")
            return None
        begin = self._file.read(min(length, _HEAD_LIMIT))
        end = _HEAD_END.search(begin)
        head = parse_head((begin[: end.start()] if end else begin).splitlines())
        body, left = begin[end.end() :] if end else b"", length - len(begin)
        if not head.status:
            self._skip(offset, left, "response without a status line")
        elif not 200 <= head.status < 300:
            self._skip(offset, left, f"HTTP status {head.status}")
        else:
            return self._body(offset, fields, head, body, left)
        return None

    def _body(self, offset: int, fields: dict[str, str], head: Head, begin: bytes, left: int) -> Record | None:
        """begin: of the body, read already. left: the bytes of the record that are still to be read."""
        kind = head.content_type
        if kind and kind not in _HTML and kind != "text/plain":
            self._skip(offset, left, f"content type {_family(kind)}")
            return None
        if len(begin) + left > self._limits.page_bytes:
            self._skip(offset, left, None)
            return self._made(offset, fields, too_large=len(begin) + left)
        rest = self._file.read(left)
        if len(rest) < left:
            self._damage("truncated record", offset, f"{left - len(rest)} bytes are missing at the end")
            return None
        try:
            body = decode_body(begin + rest, head, self._limits.page_bytes)
        except BodyTooLarge as error:
            return self._made(offset, fields, too_large=error.size)
        except BodyDamaged as error:
            self._damage("damaged HTTP body", offset, str(error))
            return None
        if not kind and not _LOOKS_LIKE_HTML.match(body[:4096]):
            self._tally.skip("no content type, not HTML by its beginning")
            return None
        record = self._made(offset, fields)
        record.charset = head.charset
        if kind == "text/plain":
            record.plain = body
        else:
            record.html = body
        return record

    def _skip(self, offset: int, length: int, kind: str | None) -> None:
        if kind is not None:
            self._tally.skip(kind)
        passed = self._file.skip(length)
        if passed < length:
            self._damage("truncated record", offset, f"{length - passed} bytes are missing at the end")

    def _made(self, offset: int, fields: dict[str, str], too_large: int = 0) -> Record:
        metadata = {"crawl_date": fields["warc-date"]} if fields.get("warc-date") else {}
        url = fields.get("warc-target-uri", "").strip("<> ")
        return Record(self._unit.relative_path, offset, url=url, metadata=metadata, too_large=too_large)


def _family(content_type: str) -> str:
    family = content_type.split("/")[0]
    known = ("application", "audio", "font", "image", "model", "multipart", "text", "video")
    return f"{family}/*" if family in known else "unknown"
