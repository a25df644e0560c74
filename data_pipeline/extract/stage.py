"""Raw records to documents with text: pages are decoded and extracted, texts pass."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from configs.schema.extract import Extract
from configs.schema.source import Source
from data_pipeline.documents import CANDIDATE_SCHEMA, document_id, source_column
from data_pipeline.extract import encoding, fast
from data_pipeline.outcome import Outcome, Rejects, Tally
from data_pipeline.sources.record import Record

NAME = "extract"
RULE_VERSION = [encoding.RULE_VERSION, fast.RULE_VERSION]


def libraries(config: Extract) -> tuple[str, ...]:
    """Whose versions may change the text of a page."""
    return fast.LIBRARIES


def run(records: Sequence[Record], source: Source, config: Extract, tally: Tally) -> Outcome:
    """kept: rows of CANDIDATE_SCHEMA, `language` "". Rejected: `record_bytes` (value: bytes of a record over the
    reader's limit), `html_depth` (value: depth reached), `no_text` (value: bytes of a page or text without any)."""
    columns: dict[str, list] = {name: [] for name in CANDIDATE_SCHEMA.names if name != "source"}
    rejects = Rejects(source.name, NAME)
    for record in records:
        id = document_id(source.name, record.relative_path, record.offset)
        text, entered, refused = _text(record)
        if refused is not None:
            reason, value = refused
            rejects.add(id, record.url, reason, value, "", record.offset)
            tally.reject(reason, entered)
            continue
        metadata = dict(record.metadata)
        if source.license:
            metadata["license"] = source.license
        columns["id"].append(id)
        columns["text"].append(text)
        columns["url"].append(record.url)
        columns["language"].append("")
        columns["metadata"].append(sorted(metadata.items()))
        columns["offset"].append(record.offset)
        tally.keep(entered, len(text) if text.isascii() else len(text.encode()))
    kept = columns | {"source": source_column(source.name, len(columns["id"]))}
    return Outcome(pa.RecordBatch.from_pydict(kept, schema=CANDIDATE_SCHEMA), rejects.batch())


def _text(record: Record) -> tuple[str, int, tuple[str, float] | None]:
    """Text, bytes that came in, and reason and value where there is none."""
    if record.too_large:
        return "", record.too_large, ("record_bytes", record.too_large)
    if record.html is not None:
        entered = len(record.html)
        depth = fast.depth(record.html)
        if depth > fast.MAX_DEPTH:
            return "", entered, ("html_depth", depth)
        text = fast.extract(encoding.decode_page(record.html, record.charset)[0])
    elif record.plain is not None:
        entered = len(record.plain)
        text = encoding.decode_page(record.plain, record.charset)[0]
    else:
        text = record.text or ""
        entered = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if not text or text.isspace():
        return "", entered, ("no_text", entered)
    # Python's strings may hold lone surrogates, which no encoding of Unicode can: they become U+FFFD.
    return text.encode("utf-8", "replace").decode("utf-8") if _has_surrogates(text) else text, entered, None


def _has_surrogates(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
