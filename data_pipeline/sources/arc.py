"""ARC files, the format before WARC (Internet Archive, 1996; versions 1 and 2): the lines that begin records."""

from __future__ import annotations

import re
from typing import NamedTuple

# URL IP-address date content-type length; version 2 has result code, checksum, location, offset, filename before the
# length. URLs hold blanks more often than they should, so a line is read from its end.
_TAIL = re.compile(
    rb"(?P<ip>[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]{1,44}) (?P<date>\d{8,20}) (?P<type>\S{1,200}) "
    rb"(?:\S+ \S+ \S+ \S+ \S+ )?(?P<length>\S{1,20})\s*\Z"
)
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,20}:")
_TAIL_LIMIT = 1000
VERSION_BLOCK = "filedesc"
"""The scheme of the first record's address: it describes the file."""


class ArcLine(NamedTuple):
    """length: of the block behind the line; -1 where it is no number."""

    url: str
    date: str
    length: int

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0].lower()


def parse_line(line: bytes) -> ArcLine | None:
    """The line as the beginning of a record; None if it is none."""
    if not _SCHEME.match(line):
        return None
    # A blank before each field: those of version 1 first, then those of version 2.
    text = line.rstrip()
    for fields in (4, 9):
        parts = text.rsplit(b" ", fields)
        if len(parts) == fields + 1:
            found = _TAIL.match(text[len(parts[0]) + 1 :][:_TAIL_LIMIT])
            if found:
                length = int(found["length"]) if found["length"].isdigit() else -1
                return ArcLine(parts[0].decode("utf-8", "replace"), iso_date(found["date"].decode()), length)
    return None


def iso_date(date: str) -> str:
    """`20140216050221` as `2014-02-16T05:02:21Z`; a date of another length as it is."""
    if len(date) != 14:
        return date
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{date[8:10]}:{date[10:12]}:{date[12:]}Z"
