"""WARC -> text, as a row of the benchmark."""

from __future__ import annotations

from typing import Literal

from benchmarks.data.inputs import Inputs
from benchmarks.data.measure import Measured, Say, repeat
from benchmarks.data.pages import extracted, source_of
from configs.schema.extract import Extract


def warc_fast(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """`extract.method=fast`, in MB of HTML."""
    return _warc("fast", inputs, seconds, repeats, say)


def warc_auto(inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    """`extract.method=auto`, in MB of HTML."""
    return _warc("auto", inputs, seconds, repeats, say)


def _warc(method: Literal["fast", "auto"], inputs: Inputs, seconds: float, repeats: int, say: Say) -> Measured:
    source, config = source_of(inputs.crawl), Extract(method=method)
    counts: dict[str, int] = {}

    def once() -> int:
        counts.clear()
        for _ in extracted(source, inputs.directory, config, counts):
            pass
        return counts["html_bytes"]

    once()  # the process that extracts starts, and imports, with its first page
    measured = repeat(once, seconds, repeats, say)
    inputs.described["pages"] |= {"pages": counts["pages"], "html_bytes": counts["html_bytes"]}
    return Measured(measured.bytes, measured.rates, measured.cpu_seconds, {"documents": counts["documents"]})
