"""What of a domain or a language stays, and how often it stands in the training split: the step between deduplication and
lots.

Caps hold for what deduplication kept, through all sources: first those on the documents of a domain, then, of what these
leave, those on the bytes of a language. One decision file per unit, whose summary holds

```
{"documents": count, "bytes": count, "languages": {code: [documents, bytes]}, "domains": counts of documents, of bytes,
 "met": {"language": [name], "domain": [name]}}
```
with a count as in `account`; languages and domains (as in `domain_counts`, those the unit's verdicts list) of what stays;
met: names of the settings that documents have.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from configs.errors import Problem, UserError
from configs.loader import Loaded
from configs.schema.balance import Balance
from configs.schema.tree import Config
from data_pipeline.caps import Bars, Part, find_bars
from data_pipeline.clean import language
from data_pipeline.clean.domains import domain
from data_pipeline.clean.language_codes import code
from data_pipeline.columns import coded, column
from data_pipeline.dedup.decisions import decisions_path
from data_pipeline.dedup.signatures import signatures_path
from data_pipeline.draw import lots
from data_pipeline.filter_stage import verdicts_path
from data_pipeline.output import fingerprint, read_fingerprint, read_summary, write_arrow
from data_pipeline.progress import Progress
from data_pipeline.signals import signals_path
from data_pipeline.units import Unit, unit_path

NAME = "balance"
VERSION = 1
"""Of the rules that decide; part of the fingerprint."""

DOMAIN, LANGUAGE = "max_documents_per_domain", "max_language_bytes"
"""The reasons of what goes."""

BALANCE_SCHEMA = pa.schema(
    [
        pa.field("copies", pa.uint16(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""One row per document of the unit that the rules keep, in order. copies: how often it stands in the training split if it
comes there; 0: deduplication or a cap rejects it. reason: of the cap, else ""."""


def balance_path(out: Path, unit: Unit) -> Path:
    """The unit's file."""
    return unit_path(out / "work" / "balance", unit)


def in_force(settings: Balance) -> bool:
    """Whether anything is capped or upsampled."""
    return _capped(settings) or _upsampled(settings)


def _capped(settings: Balance) -> bool:
    return bool(settings.max_documents_per_domain or settings.max_language_bytes)


def _upsampled(settings: Balance) -> bool:
    return any(number > 1 for number in [*settings.upsample.values(), *settings.upsample_domains.values()])


def problems(loaded: Loaded) -> list[Problem]:
    """Languages that are never found, names that are no registered domains, copies that could not be made."""
    settings = loaded.config.clean.balance
    found = []
    for key in ("max_language_bytes", "upsample"):
        if named := getattr(settings, key):
            found += _languages(loaded, f"clean.balance.{key}", list(named))
    place = loaded.where("clean.balance.upsample_domains")
    for name in settings.upsample_domains:
        near = domain(name)
        if name != near or not name:
            what = f"{name!r} is not a registered domain, so no document would be copied for it"
            hint = f"write {near}" if near else "write a domain such as wikipedia.org, without https:// and path"
            found.append(Problem(what, place, hint))
    if loaded.config.data.product == "documents" and _upsampled(settings):
        key = "upsample" if settings.upsample else "upsample_domains"
        what = "data.product=documents holds each document once, but clean.balance asks for copies"
        hint = (
            "upsample when the shards are made (data.product=shards), or by data.blend in training; caps apply to both"
        )
        found.append(Problem(what, loaded.where(f"clean.balance.{key}"), hint))
    return found


def _languages(loaded: Loaded, key: str, names: Sequence[str]) -> list[Problem]:
    try:
        known = language.codes(loaded.config.clean.language_model)
    except UserError:
        return []  # of the model's file, which `clean.problems` tells
    found = []
    for name in names:
        if name not in known and name:  # "": texts without letters
            near = difflib.get_close_matches(name, sorted(known), 3, 0.4) or sorted(known)[:3]
            near = [iso for iso in (code(f"{name}_Latn"),) if iso in known] or near  # of three letters
            what = f"the language model never answers {name!r}, so {key} would change nothing for it"
            hint = f"it knows {len(known)} codes, such as {', '.join(near)}"
            found.append(Problem(what, loaded.where(key), hint))
    return found


def warnings(settings: Balance, results: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the settings that no document has. results: the summaries of all units."""
    met = {key: {name for result in results for name in result["met"][key]} for key in ("language", "domain")}
    asked = {
        "max_language_bytes": (settings.max_language_bytes, "language"),
        "upsample": (settings.upsample, "language"),
        "upsample_domains": (settings.upsample_domains, "domain"),
    }
    return [
        f"clean.balance.{key}: no document came this far of {name!r}"
        for key, (names, kind) in asked.items()
        for name in names
        if name not in met[kind]
    ]


def decide(
    out: Path, units: Sequence[Unit], decided: Sequence[dict[str, Any]], config: Config, report: Progress
) -> list[dict[str, Any]]:
    """Writes the file of each unit; returns their summaries, without domains, in the order of `units`.

    decided: the summaries of the units' decision files. Without caps a unit's file depends on that unit alone.
    """
    settings, seed = config.clean.balance, config.data.seed
    marks = _marks(out, units, decided, settings, seed)
    paths = [balance_path(out, unit) for unit in units]
    results = [_finished(path, mark) for path, mark in zip(paths, marks, strict=True)]
    todo = [index for index, result in enumerate(results) if result is None]
    if len(todo) < len(units):
        report.say(f"{NAME}: {len(units) - len(todo)} of {len(units)} units are finished already, {len(todo)} to do")
    if todo:
        with report.stage(NAME, sum(decided[index]["rows"] for index in todo), "documents") as stage:
            domains, languages = _bars(out, units, settings, seed)
            for index in todo:
                rows = _Rows(out, units[index], seed)
                results[index] = _write(paths[index], rows, domains, languages, settings, marks[index])
                stage.advance(decided[index]["rows"])
    return [result for result in results if result is not None]


def _marks(
    out: Path, units: Sequence[Unit], decided: Sequence[dict[str, Any]], settings: Balance, seed: int
) -> list[str]:
    """The fingerprint of each unit's file."""
    own = [
        [
            read_summary(signals_path(out, unit))["content"],
            read_summary(verdicts_path(out, unit))["content"],
            summary["content"],
        ]
        for unit, summary in zip(units, decided, strict=True)
    ]
    capped = settings.model_dump(mode="json", include={"max_documents_per_domain", "max_language_bytes"})
    whole = fingerprint(caps=capped, seed=seed, units=own) if _capped(settings) else None
    copies = settings.model_dump(mode="json", include={"upsample", "upsample_domains"})
    return [fingerprint(stage=NAME, version=VERSION, unit=mine, whole=whole, copies=copies) for mine in own]


class _Rows:
    """What is known of the documents of a unit that the rules keep. Arrays are [documents kept by deduplication], in
    order; `stays` tells which those are."""

    def __init__(self, out: Path, unit: Unit, seed: int) -> None:
        self._out, self._unit, self._seed = out, unit, seed
        self.stays = column(decisions_path(out, unit), "keep")
        self.bytes = column(signatures_path(out, unit), "bytes")
        self._places = np.flatnonzero(column(verdicts_path(out, unit), "keep"))[self.stays]

    @cached_property
    def listed(self) -> list[str]:
        """The domains that are counted one by one."""
        return list(read_summary(verdicts_path(self._out, self._unit))["domains"]["listed"])

    @cached_property
    def weights(self) -> np.ndarray:
        """int64: bytes of text."""
        return self.bytes[self.stays]

    def part(self, name: str, weights: np.ndarray, among: np.ndarray | None = None) -> Part:
        """The documents as groups by `domain` or `language`. among: bool, those to take; None: all."""
        codes, names = coded(signals_path(self._out, self._unit), name)
        codes = codes[self._places]
        if among is None:
            return Part(codes, names, weights, self._lots)
        rows = np.flatnonzero(among)
        return Part(codes[rows], names, weights[rows], lambda some: self._lots(rows[some]))

    def _lots(self, rows: np.ndarray) -> np.ndarray:
        # Not the lots of the ids: by those the tokenizer's sample is drawn, which would then hold what caps leave and
        # little else.
        ids = self._ids[rows]
        return lots(self._seed, (row.tobytes() + b"balance" for row in ids))

    @cached_property
    def _ids(self) -> np.ndarray:
        return column(signatures_path(self._out, self._unit), "id")[self.stays]


def _bars(out: Path, units: Sequence[Unit], settings: Balance, seed: int) -> tuple[Bars, Bars]:
    """Of domains and of languages."""

    def by_domain() -> Iterator[Part]:
        for unit in units:
            rows = _Rows(out, unit, seed)
            yield rows.part("domain", np.ones(len(rows.weights), np.int64))

    def by_language() -> Iterator[Part]:
        for unit in units:
            rows = _Rows(out, unit, seed)
            left = None if not domains.by_name else ~domains.refuses(rows.part("domain", rows.weights))
            yield rows.part("language", rows.weights, left)

    most = settings.max_documents_per_domain
    domains = find_bars(by_domain, lambda name: most if name else None) if most else Bars({})
    limits = settings.max_language_bytes
    return domains, find_bars(by_language, limits.get) if limits else Bars({})


def _write(path: Path, rows: _Rows, domains: Bars, languages: Bars, settings: Balance, mark: str) -> dict[str, Any]:
    by_domain, by_language = rows.part("domain", rows.weights), rows.part("language", rows.weights)
    reasons = np.zeros(len(rows.weights), np.int8)
    reasons[languages.refuses(by_language)] = 2
    reasons[domains.refuses(by_domain)] = 1
    left = reasons == 0
    copies = np.zeros(len(rows.stays), np.uint16)
    copies[rows.stays] = (
        left * _factors(by_domain, settings.upsample_domains) * _factors(by_language, settings.upsample)
    )
    all_reasons = np.zeros(len(rows.stays), np.int8)
    all_reasons[rows.stays] = reasons
    names = pa.array(["", DOMAIN, LANGUAGE])
    batch = pa.record_batch([pa.array(copies), names.take(pa.array(all_reasons))], schema=BALANCE_SCHEMA)
    summary = {
        "documents": _count(np.bincount(reasons, minlength=3)),
        "bytes": _count(np.bincount(reasons, rows.weights, 3)),
        "languages": _sums(by_language, left),
        "domains": _domains(by_domain, left, rows.listed),
        "met": {
            "language": _met(by_language, {*settings.max_language_bytes, *settings.upsample}),
            "domain": _met(by_domain, {*settings.upsample_domains}),
        },
    }
    return _told(write_arrow(path, BALANCE_SCHEMA, [batch], mark, lambda: summary))


def _factors(part: Part, numbers: dict[str, int]) -> np.ndarray:
    """uint16 [documents]: what is asked for its group."""
    found = np.array([numbers.get(name, 1) for name in part.names], np.uint16)
    return found[part.codes] if len(found) else np.ones(len(part.codes), np.uint16)


def _count(numbers: np.ndarray) -> dict[str, Any]:
    whole = [int(number) for number in numbers]
    rejected = {reason: number for reason, number in zip((DOMAIN, LANGUAGE), whole[1:], strict=True) if number}
    return {"in": sum(whole), "kept": whole[0], "rejected": rejected}


def _sums(part: Part, left: np.ndarray) -> dict[str, list[int]]:
    """Documents and bytes of each group, of those left."""
    codes, size = part.codes[left], len(part.names)
    documents, weights = np.bincount(codes, minlength=size), np.bincount(codes, part.weights[left], size)
    found = zip(part.names, documents.tolist(), weights.astype(np.int64).tolist(), strict=True)
    return {name: [number, weight] for name, number, weight in sorted(found) if number}


def _met(part: Part, asked: set[str]) -> list[str]:
    there = np.bincount(part.codes, minlength=len(part.names)) > 0
    return sorted(name for name, some in zip(part.names, there, strict=True) if some and name in asked)


def _domains(part: Part, left: np.ndarray, listed: Sequence[str]) -> dict[str, Any]:
    found = _sums(part, left)
    mine = {name: found.pop(name) for name in listed if name in found}
    others = [sum(row[i] for row in found.values()) for i in (0, 1)]
    return {"listed": mine, "others": {"domains": len(found), "counts": others}}


def _finished(path: Path, mark: str) -> dict[str, Any] | None:
    return _told(read_summary(path)) if read_fingerprint(path) == mark else None


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """What a run holds of every unit at a time."""
    return {key: value for key, value in summary.items() if key != "domains"}
