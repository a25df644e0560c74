"""Raw records to documents with text: pages are decoded and extracted, texts pass."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from urllib.parse import urljoin

import pyarrow as pa

from configs.schema.extract import Extract
from configs.schema.source import Source
from data_pipeline.documents import CANDIDATE_SCHEMA, document_id, source_column
from data_pipeline.extract import bounds, encoding, page
from data_pipeline.extract.guard import Guard, guard_of
from data_pipeline.outcome import Outcome, Rejects, Tally
from data_pipeline.sources.record import Record

NAME = "extract"
RULE_VERSION = [1, bounds.RULE_VERSION, page.RULE_VERSION]


def libraries(config: Extract) -> tuple[str, ...]:
    """Whose versions may change the text of a page."""
    return page.libraries(config.method)


def run(records: Sequence[Record], source: Source, config: Extract, tally: Tally) -> Outcome:
    """kept: rows of CANDIDATE_SCHEMA, `language` "", with what a page says of itself in `metadata` (`title`, `date`,
    `html_lang`, `canonical_url`). Rejected, with value:

    `record_bytes` (bytes of a record over the reader's limit), `no_text` (bytes of a page or text without any),
    `html_nodes`, `html_depth`, `html_attributes` (what was counted, see `bounds`), `extract_timeout` (the limit in
    processor seconds), `extract_crash` (the signal that ended the extractor, 0 for an error it raised). The last two
    are the exceptions to "same bytes on any machine". MachineError where the extractor cannot start.
    """
    guard = guard_of(config)
    columns: dict[str, list] = {name: [] for name in CANDIDATE_SCHEMA.names if name != "source"}
    rejects = Rejects(source.name, NAME)
    for record in records:
        id = document_id(source.name, record.relative_path, record.offset)
        text, entered, refused, said = _text(record, guard)
        if refused is not None:
            reason, value = refused
            rejects.add(id, record.url, reason, value, "", record.offset)
            tally.reject(reason, entered)
            continue
        metadata = {**_resolved(said, record.url), **record.metadata}
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


def _text(record: Record, guard: Guard) -> tuple[str, int, tuple[str, float] | None, dict[str, str]]:
    """Text, bytes that came in, reason and value where there is none, and what a page says of itself."""
    said: dict[str, str] = {}
    if record.too_large:
        return "", record.too_large, ("record_bytes", record.too_large), said
    if record.html is not None:
        entered = len(record.html)
        found = guard.read(record.html, record.charset)
        if found.refused is not None:
            return "", entered, found.refused, said
        text, said = found.text, found.said or {}
    elif record.plain is not None:
        entered = len(record.plain)
        text = encoding.decode_page(record.plain, record.charset)[0]
    else:
        text = record.text or ""
        entered = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if not text or text.isspace():
        return "", entered, ("no_text", entered), said
    # Python's strings may hold lone surrogates, which no encoding of Unicode can: they become U+FFFD.
    return text.encode("utf-8", "replace").decode("utf-8") if _has_surrogates(text) else text, entered, None, said


def _resolved(said: dict[str, str], url: str) -> dict[str, str]:
    """`canonical_url` made absolute by the page's own; dropped where it is no web address."""
    address = said.pop("canonical_url", "")
    if address:
        with contextlib.suppress(ValueError):
            address = urljoin(url, address)
        if address.startswith(("http://", "https://")):
            said["canonical_url"] = address
    return said


def _has_surrogates(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
