"""datatrove's steps, measured in the environment they are installed in; run by `environment.measure`, not imported.

    python datatrove_steps.py STEP FILE --repeats N [--model FILE] [--bytes N]

STEP: `warc` (FILE: a WARC file, with --bytes of HTML in it), or `heuristics`, `language_id`, `pii`, `whole_pass` (FILE:
JSON lines with `id` and `text`). The last line of stdout is JSON: {"peer", "versions", "bytes",
"documents", "cpu_seconds", "rates", "parts"}. Counted is user and system time of this process and its children around
the step alone: not the imports, nor the models' first use. What is installed here decides the versions.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

MEGA = 1e6
PAGE_SECONDS = 60.0
"""Of the clock on the wall, for one page: datatrove's default of 1 loses pages on a machine that others use."""


def cpu_seconds() -> float:
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def documents(path: Path, count: int = -1) -> list[Any]:
    """Fresh ones, since steps change them."""
    from datatrove.data import Document

    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(count) if count >= 0 else iter(int, 1), strict=False)]
    return [Document(text=row["text"], id=row["id"]) for row in rows]


def size_of(found: list[Any]) -> int:
    return sum(len(document.text.encode()) for document in found)


def language_filter(model: str) -> Any:
    """datatrove's, with a model that lies here instead of one it would download."""
    from datatrove.pipeline.filters import LanguageFilter
    from datatrove.utils import lid

    lid.FT176LID.MODEL_URL = model
    lid.cached_asset_path_or_download = lambda path, **_: path
    return LanguageFilter(label_only=True)


def quality_filters() -> dict[str, Any]:
    """The four that have a counterpart, with their defaults."""
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    return {
        "gopher_repetition": GopherRepetitionFilter(),
        "gopher_quality": GopherQualityFilter(),
        "c4": C4QualityFilter(),
        "fineweb": FineWebQualityFilter(),
    }


def warc(path: Path, model: str) -> Callable[[], dict[str, Any]]:
    """WarcReader, then its extractor by trafilatura."""
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.readers import WarcReader

    def once(limit: int = -1) -> dict[str, Any]:
        begin = cpu_seconds()
        pages = WarcReader(str(path.parent), glob_pattern=path.name, limit=limit).run()
        count = sum(1 for _ in Trafilatura(timeout=PAGE_SECONDS).run(pages))
        return {"cpu": cpu_seconds() - begin, "documents": count}

    if not once(5)["documents"]:
        raise SystemExit("datatrove extracts no text of the first pages: is trafilatura whole in this environment?")

    return once


def heuristics(path: Path, model: str) -> Callable[[], dict[str, Any]]:
    """Each filter on all documents, one after the other; the sum."""
    filters = quality_filters()
    for judge in filters.values():
        judge.filter(documents(path, 1)[0])

    def once() -> dict[str, Any]:
        parts, size = {}, 0
        for name, judge in filters.items():
            fresh = documents(path)
            size = size_of(fresh)
            begin = cpu_seconds()
            for document in fresh:
                judge.filter(document)
            parts[name] = cpu_seconds() - begin
        rates = {name: round(size / MEGA / seconds, 3) for name, seconds in parts.items()}
        return {"cpu": sum(parts.values()), "documents": len(fresh), "bytes": size, "parts": rates}

    return once


def language_id(path: Path, model: str) -> Callable[[], dict[str, Any]]:
    """LanguageFilter."""
    judge = language_filter(model)
    judge.filter(documents(path, 1)[0])
    return over_documents(path, judge.filter)


def pii(path: Path, model: str) -> Callable[[], dict[str, Any]]:
    """PIIFormatter: e-mail and IP addresses; it has no other kind."""
    from datatrove.pipeline.formatters import PIIFormatter

    made = PIIFormatter()
    return over_documents(path, lambda document: made.format(document.text))


def whole_pass(path: Path, model: str) -> Callable[[], dict[str, Any]]:
    """JSON lines, language, the four filters, personal data, Parquet: one task of its local executor."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter

    size = size_of(documents(path))

    def once(limit: int = -1) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as out:
            steps = [
                JsonlReader(str(path.parent), glob_pattern=path.name, limit=limit),
                language_filter(model),
                *quality_filters().values(),
                PIIFormatter(),
                ParquetWriter(f"{out}/documents"),
            ]
            begin = cpu_seconds()
            with contextlib.redirect_stderr(io.StringIO()):  # the executor makes loggers of its own
                LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=f"{out}/logs").run()
            return {"cpu": cpu_seconds() - begin, "documents": len(documents(path)), "bytes": size}

    once(1)
    return once


def over_documents(path: Path, step: Callable[[Any], Any]) -> Callable[[], dict[str, Any]]:
    def once() -> dict[str, Any]:
        fresh = documents(path)
        size = size_of(fresh)
        begin = cpu_seconds()
        for document in fresh:
            step(document)
        return {"cpu": cpu_seconds() - begin, "documents": len(fresh), "bytes": size}

    return once


STEPS = {
    "warc": (warc, "WarcReader + Trafilatura", ("warcio", "trafilatura")),
    "heuristics": (heuristics, "GopherRepetition + GopherQuality + C4Quality + FineWebQuality filters", ("spacy",)),
    "language_id": (language_id, "LanguageFilter", ("fasttext-numpy2-wheel",)),
    "pii": (pii, "PIIFormatter (e-mail, IP)", ()),
    "whole_pass": (whole_pass, "JsonlReader to ParquetWriter with all of these", ("spacy", "pyarrow")),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="")
    parser.add_argument("--bytes", type=int, default=0)
    given = parser.parse_args()
    from datatrove.utils.logging import logger

    logger.remove()
    make, what, libraries = STEPS[given.step]
    once = make(given.file, given.model)
    runs: list[dict[str, Any]] = []
    for number in range(1, given.repeats + 1):
        run = once()
        run.setdefault("bytes", given.bytes)
        run["rate"] = run["bytes"] / MEGA / max(run["cpu"], 1e-9)
        runs.append(run)
        line = f"datatrove, repetition {number} of {given.repeats}: {run['rate']:.3f} MB/s"
        print(f"  {given.step}: {line} in {run['cpu']:.1f} s of processor time", file=sys.stderr, flush=True)
    last = runs[-1]
    found = {
        "peer": f"datatrove {version('datatrove')} {what}",
        "versions": {name: version(name) for name in ("datatrove", *libraries)},
        "bytes": last["bytes"],
        "documents": last["documents"],
        "cpu_seconds": sum(run["cpu"] for run in runs),
        "rates": [run["rate"] for run in runs],
        "parts": last.get("parts", {}),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
