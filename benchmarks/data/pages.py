"""WARC -> text: records read, bodies decoded, pages extracted, rows of documents made. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from configs.schema.clean import Clean
from configs.schema.data import Data
from configs.schema.extract import Extract
from configs.schema.source import Source
from configs.schema.tree import Config

if TYPE_CHECKING:
    from data_pipeline.sources.record import Record

_BATCH_BYTES = 4_000_000  # of a batch as `documents_stage` makes them


def texts_of(crawl: Path, directory: Path) -> list[str]:
    """The texts of a WARC file's pages by the fast extractor."""
    return list(extracted(source_of(crawl), directory, Extract(), {}))


def records_of(source: Source, directory: Path) -> Iterator[Record]:
    """The records of a source as its reader gives them."""
    from data_pipeline.inputs import list_units
    from data_pipeline.sources.record import Limits, SourceTally
    from data_pipeline.sources.registry import reader_of

    config = Config(sources=[source], data=Data(dir=str(directory)))
    for unit in list_units(config):
        yield from reader_of(source.type).read(unit, source, Limits.of(Clean().max_bytes), SourceTally())


def source_of(crawl: Path) -> Source:
    """A WARC file as a source."""
    return Source(name="pages", type="warc", paths=[str(crawl)])


def extracted(source: Source, directory: Path, config: Extract, counts: dict[str, int]) -> Iterator[str]:
    """The texts of a source's pages. counts: what came by: `pages`, `html_bytes`, `documents`."""
    from data_pipeline.extract import stage
    from data_pipeline.outcome import Tally

    counts |= {"pages": 0, "html_bytes": 0, "documents": 0}
    some: list[Record] = []
    size = 0

    def flush() -> Iterator[str]:
        found = stage.run(some, source, config, Tally())
        counts["documents"] += len(found.kept)
        yield from found.kept.column("text").to_pylist()
        some.clear()

    for record in records_of(source, directory):
        html = record.html
        if html is not None:
            counts["pages"] += 1
            counts["html_bytes"] += len(html)
        some.append(record)
        size += len(html or b"")
        if size >= _BATCH_BYTES:
            yield from flush()
            size = 0
    yield from flush()
