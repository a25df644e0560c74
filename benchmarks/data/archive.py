"""WARC -> text: records read, bodies decoded, pages extracted, rows of documents made. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.data.inputs import Inputs
from benchmarks.data.measure import Measured, Say, repeat
from configs.schema.clean import Clean
from configs.schema.data import Data
from configs.schema.extract import Extract
from configs.schema.source import Source
from configs.schema.tree import Config

if TYPE_CHECKING:
    from data_pipeline.sources.record import Record

_BATCH_BYTES = 4_000_000  # of a batch as `documents_stage` makes them


def warc_fast(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """`extract.method=fast`, in MB of HTML."""
    return _warc("fast", inputs, seconds, repeats, say)


def warc_auto(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """`extract.method=auto`, in MB of HTML."""
    return _warc("auto", inputs, seconds, repeats, say)


def texts_of(crawl: Path, directory: Path) -> list[str]:
    """The texts of a WARC file's pages by the fast extractor."""
    return list(_texts(_source(crawl), directory, Extract(), {}))


def records_of(source: Source, directory: Path) -> Iterator[Record]:
    """The records of a source as its reader gives them."""
    from data_pipeline.inputs import list_units
    from data_pipeline.sources.record import Limits, SourceTally
    from data_pipeline.sources.registry import reader_of

    config = Config(sources=[source], data=Data(dir=str(directory)))
    for unit in list_units(config):
        yield from reader_of(source.type).read(unit, source, Limits.of(Clean().max_bytes), SourceTally())


def _warc(method: Literal["fast", "auto"], inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    source, config = _source(inputs.crawl), Extract(method=method)
    counts: dict[str, int] = {}

    def once() -> int:
        counts.clear()
        for _ in _texts(source, inputs.directory, config, counts):
            pass
        return counts["html_bytes"]

    once()  # the process that extracts starts, and imports, with its first page
    measured = repeat(once, seconds, repeats, say)
    inputs.described["pages"] |= {"pages": counts["pages"], "html_bytes": counts["html_bytes"]}
    return Measured(measured.bytes, measured.rates, measured.cpu_seconds, {"documents": counts["documents"]})


def _source(crawl: Path) -> Source:
    return Source(name="pages", type="warc", paths=[str(crawl)])


def _texts(source: Source, directory: Path, config: Extract, counts: dict[str, int]) -> Iterator[str]:
    """counts: what came by: `pages`, `html_bytes`, `documents`."""
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
