"""The document: the row that every stage takes and gives, its identity, and the row of a rejected one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import pyarrow as pa
import xxhash

SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("url", pa.large_string(), nullable=False),
        pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("metadata", pa.map_(pa.string(), pa.string()), nullable=False),
    ]
)
"""A kept document. `url` and `language` are "" where unknown; reserved keys of `metadata` are `RESERVED_METADATA`."""

CANDIDATE_SCHEMA = SCHEMA.append(pa.field("offset", pa.int64(), nullable=False))
"""A document on its way through the stages of a unit: with its record's offset, which rejected rows keep."""

SPAN = pa.struct(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
"""Characters [start, end) of a text, and what was found there."""

REJECT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("url", pa.large_string(), nullable=False),
        pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("spans", pa.list_(pa.field("item", SPAN, nullable=False)), nullable=False),
    ]
)
"""A rejected document: the rule that refused it and the value that rule measured. `text` is clipped to
`REJECT_TEXT_CHARACTERS`. Of what a rule on private things refuses, `text` and `url` are "", and `spans` says where the
rule found them in the text it read (repaired, without the lines removed). `offset` is the record's, as in
`document_id`."""

REJECT_TEXT_CHARACTERS = 2000

PORTION = 1 << 18
_WHITE_SPACE = re.compile(r"\s")

RESERVED_METADATA = frozenset({"crawl_date", "license", "opt_out", "content_hash", "cluster"})


def document_id(source: str, relative_path: str, offset: int) -> bytes:
    """16 bytes: xxh3-128 of `source NUL relative path NUL offset` (offset in decimal).

    relative_path: from the source's root, `/` between folders. offset: first byte of the record in the decoded
    stream; the compressed byte of its member for a WARC of one gzip member per record; the character in the source
    text for a docstring; the number of the row for Parquet, Arrow and datasets.
    """
    key = f"{source}\0{relative_path}\0{offset}".encode("utf-8", "surrogateescape")
    return xxhash.xxh3_128_digest(key)


def normalized(text: str) -> str:
    """The form in which two texts count as equal: NFC, each run of white space one blank, none at the ends."""
    text = unicodedata.normalize("NFC", text)
    if len(text) <= PORTION:
        return " ".join(text.split())
    return " ".join(words for portion in portions(text) if (words := " ".join(portion.split())))


def portions(text: str) -> Iterator[str]:
    """The text in pieces of about `PORTION` characters, each but the first beginning with white space: the words of a
    large text, as Python holds them, take ten times its bytes."""
    start = 0
    while start < len(text):
        found = _WHITE_SPACE.search(text, start + PORTION)
        end = found.start() if found else len(text)
        yield text[start:end]
        start = end


def content_hash(text: str) -> bytes:
    """16 bytes: xxh3-128 of the normalised text as UTF-8. Equal for copies that differ in white space only."""
    return xxhash.xxh3_128_digest(normalized(text).encode("utf-8", "surrogatepass"))


def source_column(source: str, rows: int) -> pa.DictionaryArray:
    """`rows` times the name of a source, as the column `source`."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([source], pa.string()))
