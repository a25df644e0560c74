"""Do our rules decide as datatrove's do, on the same documents, with the same segmentation into words?

    python -m benchmarks.peers.agreement --corpora DIR --peers VENV [--json FILE]

Compared are the four filters both have (Gopher quality and repetition, C4, FineWeb), each alone, with
`clean.word_segmentation` = spacy and, beside it, unicode. Thresholds are datatrove's defaults on both sides. VENV holds
datatrove and spaCy for the same version of Python; they are taken from there behind everything installed here.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.schema.clean import Clean
from data_pipeline.clean import heuristics, rules
from data_pipeline.clean.repair import repair

SECTIONS = ("gopher_quality", "gopher_repetition", "c4", "fineweb")
OFF = {section: {"enabled": False} for section in SECTIONS}
THRESHOLDS: dict[str, dict[str, Any]] = {
    "gopher_quality": {},
    "gopher_repetition": {},
    "c4": {"line_ends": [".", "?", "!", '"', "'"], "min_line_words": 3, "min_sentences": 5},
    "fineweb": {"max_duplicate_line_characters": 0.01},
}
"""Where datatrove's defaults are not those of the papers."""


@dataclass
class Agreement:
    """documents: compared. agreed: kept by both or refused by both. kept: by datatrove. differences: (datatrove's
    verdict, ours) of the others, counted; examples: places of documents in the sample."""

    documents: int
    agreed: int
    kept: int
    differences: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.agreed / self.documents


def use_peers(environment: Path) -> None:
    """Makes the packages of a virtual environment importable, behind our own. Raises FileNotFoundError if it has none
    for this version of Python."""
    packages = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    if not (packages / "datatrove").is_dir():
        raise FileNotFoundError(f"no datatrove in {packages}")
    sys.path.append(str(packages))


def sample(corpora: Path, documents: int = 2000) -> list[str]:
    """The same documents each time: pages, articles, comments and handbooks, each in its repaired form, as rules meet
    it, with no blanks at the ends of its lines (where datatrove looks for punctuation)."""
    kinds = [kind(corpora) for kind in (_pages, _web, _judged, _comments, _articles, _handbooks, _pairs)]
    texts: list[str] = []
    # One of each kind in turn, so that a shorter sample is mixed as well.
    while kinds and len(texts) < documents:
        for kind in list(kinds):
            text = next(kind, None)
            if text is None:
                kinds.remove(kind)
                continue
            text = repair(text, Clean())[0]
            text = "\n".join(line.rstrip() for line in text.split("\n")).strip()
            if text:
                texts.append(text)
    return texts[:documents]


def theirs(section: str) -> Callable[[str], str]:
    """datatrove's filter with its defaults: text -> "" if kept, else its reason."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    kinds = {
        "gopher_quality": GopherQualityFilter,
        "gopher_repetition": GopherRepetitionFilter,
        "c4": C4QualityFilter,
        "fineweb": FineWebQualityFilter,
    }
    judge = kinds[section]()

    def verdict(text: str) -> str:
        decision = judge.filter(Document(text=text, id=""))
        return decision[1] if isinstance(decision, tuple) else "" if decision else "refused"

    return verdict


def ours(texts: list[str], section: str, segmentation: str) -> list[str]:
    """Our verdicts by the rules of one section: "" if kept, else the reason. English throughout, as datatrove's."""
    config = Clean.model_validate(
        {**OFF, section: {**THRESHOLDS[section], "enabled": True}, "word_segmentation": segmentation}
    )
    table = rules.in_force(config)
    measured = heuristics.measure(pa.array(texts, pa.large_string()), ["en"] * len(texts), config)
    reasons, _ = rules.judge(measured.signals, table, config)
    return ["" if reason < 0 else table[reason].reason for reason in reasons]


def compare(texts: list[str], section: str, segmentation: str, verdicts: list[str]) -> Agreement:
    """verdicts: datatrove's on the same texts."""
    found = Agreement(len(texts), 0, verdicts.count(""))
    for place, (their, our) in enumerate(zip(verdicts, ours(texts, section, segmentation), strict=True)):
        if (their == "") == (our == ""):
            found.agreed += 1
        else:
            found.differences[their, our] += 1
            found.examples.setdefault((their, our), []).append(place)
    return found


def _pages(corpora: Path) -> Iterator[str]:
    truth = json.loads((corpora / "html" / "scrapinghub" / "ground-truth.json").read_text())
    for name in sorted(truth):
        yield truth[name]["articleBody"]


def _web(corpora: Path) -> Iterator[str]:
    for path in sorted((corpora / "peers" / "dolma-tests" / "data" / "multiple_files").glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            yield from _field(file, "text")


def _judged(corpora: Path) -> Iterator[str]:
    for path in sorted((corpora / "quality" / "dclm-human-labels").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from _field(file, "text")


def _comments(corpora: Path) -> Iterator[str]:
    with (corpora / "quality" / "surge-toxicity" / "toxicity_en.csv").open(encoding="utf-8", newline="") as file:
        for row in islice(csv.DictReader(file), 200):
            yield row["text"]


def _articles(corpora: Path) -> Iterator[str]:
    with gzip.open(corpora / "dedup" / "mccormick-minhash" / "articles_1000.train.gz", "rt") as file:
        for line in file:
            yield line.partition(" ")[2]


def _handbooks(corpora: Path) -> Iterator[str]:
    """Sections of about 3,000 characters, cut at blank lines."""
    for name in ("perl-doc/perl-pods-40.txt.gz", "installation-guide/install.en.txt.gz"):
        part: list[str] = []
        size = 0
        with gzip.open(corpora / "deb_text" / name, "rt", encoding="utf-8", errors="replace") as file:
            for line in file:
                part.append(line)
                size += len(line)
                if size > 3000 and not line.strip():
                    yield "".join(part)
                    part, size = [], 0
        yield "".join(part)


def _pairs(corpora: Path) -> Iterator[str]:
    for path in sorted((corpora / "dedup" / "webis-s3-pairs").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield from (value for value in row.values() if isinstance(value, str) and len(value) > 500)


def _field(lines: Iterable[str], name: str) -> Iterator[str]:
    for line in lines:
        yield json.loads(line)[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    use_peers(arguments.peers)
    texts = sample(arguments.corpora, arguments.documents)
    rows = []
    for section in arguments.sections:
        verdicts = list(map(theirs(section), texts))
        for segmentation in ("spacy", "unicode"):
            found = compare(texts, section, segmentation, verdicts)
            print(
                f"{section:18} {segmentation:8} {found.documents} documents, datatrove keeps {found.kept}, "
                f"same {found.share:.4f}"
            )
            for (their, our), count in found.differences.most_common():
                places = found.examples[their, our][:5]
                print(f"    {count:4}  datatrove {their or 'keeps':28} here {our or 'keeps':38} {places}")
            rows.append(
                {"name": section, "segmentation": segmentation, "documents": found.documents, "same": found.share}
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
