"""Main text of HTML: quality against text that people marked, and speed, of every method side by side.

Quality is the measure of the article extraction benchmark of Scrapinghub (2019): precision and recall of the multiset
of token 4-grams (tokens are `\\w+`), averaged over pages; F1 of the two averages; the error is the standard deviation
over 1,000 resamplings of the pages. Speed is bytes of HTML per processor second of this process and its extractor, from
bytes to text: bounds, encoding, extraction, metadata and the pipe between the two.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import resource
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Result
from configs.errors import UserError
from configs.schema.extract import Extract
from data_pipeline.extract.guard import Guard

_TOKEN = re.compile(r"\w+")
_GRAM = 4
_RESAMPLINGS = 1000
METHODS = ("fast", "auto", "precise")


@dataclass(frozen=True)
class Page:
    """html: as crawled. text: the main text it should give. charset: what it is known to be encoded in."""

    html: bytes
    text: str
    charset: str = ""


@dataclass(frozen=True)
class Score:
    """Of one method on one set of pages. error: of the F1. seconds: processor time for `bytes` of HTML. refused: pages
    without an answer, by reason; they count as empty texts."""

    set: str
    method: str
    pages: int
    bytes: int
    precision: float
    recall: float
    f1: float
    error: float
    seconds: float
    refused: Mapping[str, int]

    @property
    def megabytes_per_second(self) -> float:
        """10^6 bytes of HTML per processor second."""
        return self.bytes / 1e6 / self.seconds

    def results(self) -> list[Result]:
        """The figures for the JSON."""
        name = f"extraction/{self.set}/{self.method}"
        figures = {"precision": self.precision, "recall": self.recall, "f1": self.f1, "f1_error": self.error}
        return [
            *(Result(f"{name}/{what}", value, "share") for what, value in figures.items()),
            Result(f"{name}/speed", self.megabytes_per_second, "MB of HTML per CPU-second", self.seconds),
        ]


def page_sets(corpora: Path) -> dict[str, list[Page]]:
    """The sets found in a folder of corpora: `html/scrapinghub` whole and in its two halves (every second page in the
    order of names, of which the first was used to choose the rules of `auto`), `html/hplt-sample100` (its reference is
    trafilatura's text, not people's). UserError where neither is there."""
    sets: dict[str, list[Page]] = {}
    marked = corpora / "html" / "scrapinghub"
    if marked.is_dir():
        truth = json.loads((marked / "ground-truth.json").read_bytes())
        pages = [
            Page(gzip.decompress((marked / "html" / f"{name}.html.gz").read_bytes()), wanted["articleBody"])
            for name, wanted in sorted(truth.items())
        ]
        sets |= {"scrapinghub": pages, "scrapinghub-chosen-on": pages[::2], "scrapinghub-held-out": pages[1::2]}
    crawl = corpora / "html" / "hplt-sample100" / "CC.zst"
    if crawl.is_file():
        import zstandard

        with crawl.open("rb") as file:
            lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
        records = [json.loads(line.decode("utf-8", "replace")) for line in lines]
        sets["hplt-sample100"] = [Page(r["h"].encode("utf-8", "replace"), r["t"] or "", "utf-8") for r in records]
    if not sets:
        raise UserError(f"{corpora}: holds neither html/scrapinghub nor html/hplt-sample100")
    return sets


def measure(sets: Mapping[str, Sequence[Page]], methods: Sequence[str] = METHODS) -> list[Score]:
    """Every method on every set."""
    return [_score(name, pages, method) for name, pages in sets.items() for method in methods]


def table(scores: Sequence[Score]) -> str:
    """For people, in Markdown."""
    rows = [
        "| pages | method | F1 | precision | recall | MB/s |",
        "|---|---|---|---|---|---|",
        *(
            f"| {score.set} ({score.pages}) | {score.method} | {score.f1:.3f} ± {score.error:.3f} | {score.precision:.3f} "
            f"| {score.recall:.3f} | {score.megabytes_per_second:.1f} |"
            for score in scores
        ),
    ]
    refused = [
        f"{score.set}, {score.method}: refused {dict(sorted(score.refused.items()))}"
        for score in scores
        if score.refused
    ]
    return "\n".join([*rows, *refused])


def overlap(wanted: str, found: str) -> tuple[float, float]:
    """(precision, recall) of the 4-grams of a text; both 1 where the texts have the same."""
    right, given = _grams(wanted), _grams(found)
    hits = (right & given).total()
    if right == given:
        return 1.0, 1.0
    return hits / given.total() if given else 0.0, hits / right.total() if right else 0.0


def f1(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """(precision, recall, F1) of the averages over pages."""
    precision = statistics.fmean(pair[0] for pair in pairs)
    recall = statistics.fmean(pair[1] for pair in pairs)
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _grams(text: str) -> Counter[tuple[str, ...]]:
    tokens = _TOKEN.findall(text)
    return Counter(tuple(tokens[at : at + _GRAM]) for at in range(max(bool(tokens), len(tokens) - _GRAM + 1)))


def _score(name: str, pages: Sequence[Page], method: str) -> Score:
    refused: Counter[str] = Counter()
    texts: list[str] = []
    # The processor time of the extractor is known once it has ended: what its start costs is measured apart.
    idle = _spent(Guard(Extract.model_validate({"method": method})), [], texts, refused)
    seconds = _spent(Guard(Extract.model_validate({"method": method})), pages, texts, refused) - idle
    pairs = [overlap(page.text, text) for page, text in zip(pages, texts, strict=True)]
    precision, recall, score = f1(pairs)
    draw = random.Random(0)
    resampled = [f1(draw.choices(pairs, k=len(pairs)))[2] for _ in range(_RESAMPLINGS)]
    size = sum(len(page.html) for page in pages)
    return Score(
        name, method, len(pages), size, precision, recall, score, statistics.stdev(resampled), seconds, refused
    )


def _spent(guard: Guard, pages: Sequence[Page], texts: list[str], refused: Counter[str]) -> float:
    """Processor seconds of this process and the guard's, from before its start until its end."""
    before = _processor_seconds()
    guard.read(b"<p>The first page waits for the start.</p>", "")
    for page in pages:
        read = guard.read(page.html, page.charset)
        texts.append(read.text)
        if read.refused:
            refused[read.refused[0]] += 1
    guard.close()
    return _processor_seconds() - before


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
