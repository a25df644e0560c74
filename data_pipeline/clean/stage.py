"""Cleaning: what is done to each document by itself, and what is measured of it. Which document stays is decided later,
from the measurements (`filter_stage`); rejected here is only what no threshold could bring back.

The order: size, address, repair, language; lines removed and signals measured over one segmentation; personal data
masked; bad words and classifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import Problem
from configs.loader import Loaded
from configs.schema.clean import Clean
from data_pipeline.clean import bad_words, classifier, domains, heuristics, language, pii, repair, urls
from data_pipeline.documents import REJECT_TEXT_CHARACTERS, RESERVED_METADATA, SCHEMA, content_hash, source_column
from data_pipeline.outcome import Rejects, Tally

NAME = "clean"
_BEGINNING_BYTES = 1 << 16
_PLAIN_METADATA = RESERVED_METADATA | {"canonical_url", "date", "html_lang"}
"""Keys of metadata that are read by programs: nothing in them is masked."""
RULE_VERSION = [
    3,
    urls.RULE_VERSION,
    repair.RULE_VERSION,
    language.RULE_VERSION,
    heuristics.RULE_VERSION,
    pii.RULE_VERSION,
    bad_words.RULE_VERSION,
    classifier.RULE_VERSION,
    domains.RULE_VERSION,
]


@dataclass
class Cleaned:
    """kept: rows of SCHEMA. sizes: bytes of their texts. domains: of their addresses. signals: float64 [rows] each.
    rejected: rows of REJECT_SCHEMA; both in the order they came."""

    kept: pa.RecordBatch
    sizes: list[int]
    domains: list[str]
    signals: dict[str, np.ndarray]
    rejected: pa.RecordBatch


def libraries(config: Clean) -> tuple[str, ...]:
    """Distributions whose versions decide what this stage hands on."""
    return (
        *domains.LIBRARIES,
        *(urls.LIBRARIES if config.urls.enabled else ()),
        *(repair.LIBRARIES if config.repair else ()),
        *language.LIBRARIES,
        *heuristics.libraries(config),
        *(pii.LIBRARIES if config.pii.enabled else ()),
        *(bad_words.LIBRARIES if config.bad_words.lists else ()),
        *(classifier.LIBRARIES if classifier.in_force(config) else ()),
    )


def files(config: Clean) -> list[tuple[str, Path]]:
    """Files of the user whose bytes decide what this stage hands on, each with what it is for: the same file in another
    role, or under the name of another language, decides otherwise."""
    found = [(f"urls.{name}", path) for name, path in urls.files(config.urls)]
    found += [("language_model", path) for path in language.files(config)]
    found += [(f"bad_words {bad_words.language(Path(path))}", path) for path in bad_words.files(config.bad_words)]
    found += [(classifier.signal(one), one.model) for one in classifier.in_force(config)]
    return [(role, Path(path).expanduser()) for role, path in found]


def forget() -> None:
    """Those files are read again when they are next needed: they may have changed."""
    for module in (urls, language, bad_words, classifier):
        module.forget()


def problems(loaded: Loaded) -> list[Problem]:
    """What is wrong with those files and what refers to them, each with the place to mend."""
    config = loaded.config.clean
    own = [*urls.problems(config.urls), *language.problems(config), *bad_words.problems(config.bad_words)]
    return [*own, *classifier.problems(loaded)]


def settings(config: Clean) -> dict[str, Any]:
    """The keys that decide texts and signals, as JSON: those of no rule that is decided later."""
    own = config.model_dump(mode="json", include={"max_bytes", "normalization", "repair", "whitespace", "invisible"})
    return {
        **own,
        "heuristics": heuristics.settings(config),
        "pii": config.pii.kinds.model_dump(mode="json") if config.pii.enabled else None,
        "bad_words": config.bad_words.fallback if config.bad_words.lists else None,
        "classifiers": classifier.settings(config),
    }


def signal_names(config: Clean) -> list[str]:
    """The signals measured under this configuration, in the order of their columns."""
    own = [classifier.signal(found) for found in classifier.in_force(config)]
    words = bad_words.SIGNALS if config.bad_words.lists else ()
    return ["language_score", *heuristics.SIGNALS, *words, *own]


def run(batch: pa.RecordBatch, source: str, config: Clean, tally: Tally, notes: dict[str, int]) -> Cleaned:
    """batch: CANDIDATE_SCHEMA. kept: with language and content hash filled in.

    Rejected: `max_bytes` (before repair or after it; value: bytes), those of `urls.refuse` (without text; `opt_out` also
    without address), `empty` (after repair, or without a line left; value: bytes before), `pii_{kind}` of kinds to drop
    (value: how many; without text and address, with the places). notes: counts of documents
    by what befell them, such as `repaired`, of lines removed and of personal data found, by kind.
    """
    rows = _Rows(batch, source, config, tally)
    for place, text in enumerate(rows.texts):
        if rows.entered[place] > config.max_bytes:
            rows.reject(place, "max_bytes", rows.entered[place])
            continue
        refused = urls.refuse(rows.urls[place], config.urls) if config.urls.enabled else None
        if refused is not None:
            rows.reject(place, *refused, withheld=True)
            continue
        text, mended = repair.repair(text, config)
        if mended:
            note(notes, "repaired")
        rows.texts[place] = text.strip()
        # NFC may take a text to three times its bytes (U+1D160), and repair writes in full what was damaged.
        if _bytes(rows.texts[place]) > config.max_bytes:
            rows.reject(place, "max_bytes", _bytes(rows.texts[place]))
    languages = [
        language.detect(text, config.language_model) if text else ("", 0.0) for text in rows.select(rows.texts)
    ]
    texts = pa.array(rows.select(rows.texts), pa.large_string())
    measured = heuristics.measure(texts, [code for code, _ in languages], config)
    for what, count in measured.notes.items():
        note(notes, what, count)
    rows.measured(measured.texts.to_pylist(), [code for code, _ in languages])
    signals = {"language_score": np.array([score for _, score in languages], np.float64), **measured.signals}
    del texts, measured
    for place in rows.places():
        if not rows.texts[place]:
            rows.reject(place, "empty", rows.entered[place])
        elif config.pii.enabled:
            found = pii.treat(rows.texts[place], config.pii)
            for kind, count in found.counts.items():
                note(notes, f"pii {kind}", count)
            if found.drop:
                spans = [span for span in found.spans if span.kind == found.drop]
                rows.reject(place, f"pii_{found.drop}", found.counts[found.drop], withheld=True, spans=spans)
            else:
                rows.texts[place] = found.text
    kept = rows.kept()
    if rows.masked_values:
        note(notes, "pii in metadata", rows.masked_values)
    left = rows.left
    signals = {name: values[left] for name, values in signals.items()}
    if config.bad_words.lists:
        signals |= bad_words.measure(rows.select(rows.texts), rows.select(rows.languages), config.bad_words)
    signals |= classifier.measure(kept.column("text"), classifier.in_force(config), notes)
    found_domains = [domains.domain(url) for url in kept.column("url").to_pylist()]
    return Cleaned(kept, rows.sizes, found_domains, signals, rows.rejected())


class _Rows:
    """The documents of a batch on their way, and those rejected, by their place in it."""

    def __init__(self, batch: pa.RecordBatch, source: str, config: Clean, tally: Tally) -> None:
        self._batch, self._source, self._config, self._tally = batch, source, config, tally
        # A text over the bound is never made a string of Python, which may take four times its bytes.
        self.entered: list[int] = pc.binary_length(batch.column("text")).to_pylist()
        bounded = zip(batch.column("text"), self.entered, strict=True)
        self.texts: list[str] = ["" if size > config.max_bytes else text.as_py() for text, size in bounded]
        self.urls: list[str] = batch.column("url").to_pylist()
        self.languages = [""] * len(self.texts)
        self.sizes: list[int] = []
        self.masked_values = 0
        self._stay = [True] * len(self.texts)
        self._before = list(self._stay)
        self._rejected: dict[int, tuple[str, float, str, Sequence[pii.Span]]] = {}

    def places(self) -> list[int]:
        """Of the documents not rejected so far."""
        return [place for place, stays in enumerate(self._stay) if stays]

    def select(self, values: Sequence[Any]) -> list[Any]:
        """The values of the documents not rejected so far."""
        return [value for value, stays in zip(values, self._stay, strict=True) if stays]

    def reject(
        self, place: int, reason: str, value: float, withheld: bool = False, spans: Sequence[pii.Span] = ()
    ) -> None:
        """The document at `place` goes no further. withheld: no text of it is kept. spans: what was found in it."""
        text = "" if withheld else self.texts[place] or self._beginning(place)
        if self._config.pii.enabled:
            text = pii.masked(text, REJECT_TEXT_CHARACTERS)
        self._stay[place] = False
        self._rejected[place] = (reason, value, text, spans)
        self._tally.reject(reason, self.entered[place])

    def _beginning(self, place: int) -> str:
        """Of the text that came in: more of it than a rejected row keeps, to see what a cut goes through."""
        return self._batch.column("text")[place].as_buffer()[:_BEGINNING_BYTES].to_pybytes().decode("utf-8", "ignore")

    def measured(self, texts: Sequence[str], languages: Sequence[str]) -> None:
        """Takes over the texts without the lines removed, of the documents not rejected so far."""
        self._before = list(self._stay)
        for place, text, code in zip(self.places(), texts, languages, strict=True):
            self.texts[place], self.languages[place] = text, code

    @property
    def left(self) -> list[int]:
        """Which of the documents that were measured are kept: their places among those."""
        measured = [place for place, was in enumerate(self._before) if was]
        return [index for index, place in enumerate(measured) if self._stay[place]]

    def kept(self) -> pa.RecordBatch:
        """Rows of SCHEMA, counted."""
        places = self.places()
        texts = [self.texts[place] for place in places]
        self.sizes = [_bytes(text) for text in texts]
        for place, size in zip(places, self.sizes, strict=True):
            self._tally.keep(self.entered[place], size)
        metadata = self._batch.column("metadata").to_pylist()
        few = self._batch.take(pa.array(places, pa.int64()))
        columns = {
            "id": few.column("id"),
            "text": texts,
            "url": few.column("url"),
            "source": source_column(self._source, len(places)),
            "language": [self.languages[place] for place in places],
            "metadata": [
                sorted({**self._masked(metadata[place]), "content_hash": content_hash(text).hex()}.items())
                for place, text in zip(places, texts, strict=True)
            ],
        }
        return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)

    def _masked(self, metadata: list[tuple[str, str]]) -> dict[str, str]:
        """Titles, and what the user maps from fields, may hold what is masked in texts."""
        found = dict(metadata)
        if self._config.pii.enabled:
            for key in found.keys() - _PLAIN_METADATA:
                treated = pii.treat(found[key], self._config.pii)
                value = pii.masked(found[key]) if treated.drop else treated.text
                self.masked_values += value != found[key]
                found[key] = value
        return found

    def rejected(self) -> pa.RecordBatch:
        """Rows of REJECT_SCHEMA."""
        rejects = Rejects(self._source, NAME)
        ids, offsets = self._batch.column("id"), self._batch.column("offset")
        for place, (reason, value, text, spans) in sorted(self._rejected.items()):
            # An address may spell what its page is refused for, and owners who opted out want no trace of theirs.
            url = "" if reason == "opt_out" or reason.startswith("pii_") else self.urls[place]
            rejects.add(ids[place].as_py(), url, reason, value, text, offsets[place].as_py(), spans)
        return rejects.batch()


def note(notes: dict[str, int], what: str, count: int = 1) -> None:
    """So many more of what is named."""
    notes[what] = notes.get(what, 0) + count


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
