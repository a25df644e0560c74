"""What a reader hands on: raw records, and counts of what was no document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from data_pipeline.units import printable


@dataclass
class Record:
    """One raw record: `text` where the source has text, else bytes as crawled: `plain` to decode, `html` to extract.

    relative_path, offset: its place, as in `documents.document_id`. charset: declared outside the page (HTTP header),
    "" where undeclared. too_large: bytes measured where the record was over the limit; it then carries no content.
    """

    relative_path: str
    offset: int
    text: str | None = None
    html: bytes | None = None
    plain: bytes | None = None
    charset: str = ""
    url: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    too_large: int = 0


@dataclass(frozen=True)
class Limits:
    """Bounds that keep a damaged or hostile input from filling the memory. They follow from `clean.max_bytes`: what
    is over them is counted and rejected, measured but not held."""

    record_bytes: int
    """Of a JSON value as it is written."""

    page_bytes: int
    """Of a text, a crawled page, or a row of a table, decoded: Python takes up to four bytes for each character, and a
    parsed page many times its size."""

    @classmethod
    def of(cls, max_document_bytes: int) -> Limits:
        # A JSON line may spell a two-byte letter as \uXXXX, three times its size, and has other fields beside.
        return cls(record_bytes=4 * max_document_bytes + 65_536, page_bytes=2 * max_document_bytes + 65_536)


@dataclass
class Damage:
    """Damaged records of one kind: how many, and the first as an example."""

    count: int
    first_path: str
    first_offset: int
    message: str


@dataclass
class SourceTally:
    """What a reader met besides documents. input_bytes: stored bytes read. skipped: records that are no documents by
    their nature (a WARC request), by kind. damaged: records or streams that could not be read, by kind."""

    input_bytes: int = 0
    records: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, Damage] = field(default_factory=dict)

    def skip(self, kind: str) -> None:
        self.skipped[kind] = self.skipped.get(kind, 0) + 1

    def damage(self, kind: str, relative_path: str, offset: int, message: str, count: int = 1) -> None:
        """count: records that one damage took."""
        found = self.damaged.get(kind)
        if found is None:
            self.damaged[kind] = Damage(count, relative_path, offset, message[:300])
        else:
            found.count += count

    def as_json(self) -> dict[str, Any]:
        return {
            "input_bytes": self.input_bytes,
            "records": self.records,
            "skipped": dict(sorted(self.skipped.items())),
            "damaged": {
                kind: {
                    "count": damage.count,
                    "first_path": printable(damage.first_path),
                    "first_offset": damage.first_offset,
                    "message": damage.message,
                }
                for kind, damage in sorted(self.damaged.items())
            },
        }
