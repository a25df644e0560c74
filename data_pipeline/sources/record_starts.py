"""Where records of WARC and ARC files begin, by their bytes: shared by reading and by cutting into units."""

from __future__ import annotations

import re

from data_pipeline.sources import arc

LINE_LIMIT = 1 << 16
HEAD_LIMIT = 1 << 18
"""Bytes of a record's header, and of the HTTP header in it."""

_VERSION = re.compile(rb"WARC/\d{1,4}\.\d{1,4}\s*\Z")
_VERSION_AND_FIELD = re.compile(rb"WARC/\d{1,4}\.\d{1,4}[ \t]*\r?\n[!-9;-~]{1,200}[ \t]*:")
_LENGTH = re.compile(r"[0-9]{1,18}")


def is_version(line: bytes) -> bool:
    """Whether a line is the first of a WARC record."""
    return line.startswith(b"WARC/") and _VERSION.match(line) is not None


def is_blank(line: bytes) -> bool:
    """Whether a line holds nothing; not of one that was too long to be held."""
    return line in (b"\r\n", b"\n") or (bool(line) and not line.strip())


def begins_record(data: bytes) -> bool:
    """Whether these bytes (4 kB, or all that are left) begin with a record."""
    if data.startswith(b"WARC/"):
        return _VERSION_AND_FIELD.match(data) is not None
    end = data.find(b"\n", 0, LINE_LIMIT) + 1
    return end > 0 and arc.parse_line(data[:end]) is not None


def content_length(fields: dict[str, str]) -> int:
    """The length of a WARC record's block by its header; -1 where it has none."""
    found = fields.get("content-length", "")
    return int(found) if _LENGTH.fullmatch(found) else -1
