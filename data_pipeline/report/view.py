"""What a report is about: a corpus of shards or of documents, with all that lies beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from configs.errors import MachineError
from configs.schema.clean import Clean
from data_pipeline import domain_counts, spread
from data_pipeline.account import Stage
from data_pipeline.documents_manifest import DOCUMENTS, DocumentsManifest, load_documents_manifest
from data_pipeline.output import read_summary
from data_pipeline.shards import Manifest, load_manifest
from data_pipeline.shards.manifest import MANIFEST
from data_pipeline.spread import Spread


@dataclass(frozen=True)
class Measured:
    """Sums over the units in work/. spreads: by signal. rules: by reason, {"refused", "only"}. languages: by code,
    {"in", "kept", "bytes_in", "bytes_kept", "end", "bytes_end"}, the last two after caps. domains: what the verdicts
    count, then documents and bytes after caps."""

    spreads: dict[str, Spread]
    rules: dict[str, dict[str, int]]
    languages: dict[str, dict[str, int]]
    domains: domain_counts.Sum


@dataclass(frozen=True)
class View:
    """manifest: of the shards; None for a corpus of documents, whose list is `documents`. clean: the settings it was
    made with; None where they cannot be read any more. measured: None without work/."""

    directory: Path
    corpus_id: str
    sources: list[str]
    stages: list[Stage]
    inputs: dict[str, Any]
    versions: dict[str, str]
    stats: dict[str, Any]
    manifest: Manifest | None
    documents: DocumentsManifest | None
    clean: Clean | None
    measured: Measured | None


def load(directory: Path) -> View:
    """Of a directory that holds shards and documents, what the last run made. UserError, MachineError: no corpus, or a
    damaged one."""
    try:
        stats = orjson.loads((directory / "stats.json").read_bytes())
    except (OSError, ValueError):
        stats = {}
    shards = (directory / MANIFEST).exists() or not (directory / DOCUMENTS).exists()
    found = load_manifest(directory) if shards else load_documents_manifest(directory)
    if (
        shards
        and stats.get("corpus_id") != found.corpus_id
        and (directory / DOCUMENTS).exists()
        and (documents := load_documents_manifest(directory)).corpus_id == stats.get("corpus_id")
    ):
        found = documents  # the last run, which the statistics and the work speak of, ended with documents
    try:
        clean = Clean.model_validate(found.config.get("clean", {}))
    except ValueError:
        clean = None  # of another version, or with values from the environment
    return View(
        directory=directory,
        corpus_id=found.corpus_id,
        sources=found.sources,
        stages=found.stages,
        inputs=found.inputs,
        versions=found.versions,
        stats=stats,
        manifest=found if isinstance(found, Manifest) else None,
        documents=found if isinstance(found, DocumentsManifest) else None,
        clean=clean,
        measured=_measured(directory / "work"),
    )


def _measured(work: Path) -> Measured | None:
    spreads: dict[str, list[Spread]] = {}
    for path in sorted((work / "signals").glob("*/*/*.arrow")):
        summary = _summary(path)
        for name, found in summary.get("spreads", {}).items():
            spreads.setdefault(name, []).append(found)
    rules: dict[str, dict[str, int]] = {}
    languages: dict[str, dict[str, int]] = {}
    domains = domain_counts.Sum()
    for path in sorted((work / "verdicts").glob("*/*/*.arrow")):
        summary, after = _summary(path), _summary(work / "balance" / path.relative_to(work / "verdicts"))
        _add(rules, summary.get("rules", {}))
        _add(languages, summary.get("languages", {}))
        for code, (documents, size) in after.get("languages", {}).items():
            _add(languages, {code: {"end": documents, "bytes_end": size}})
        if "domains" in summary:
            domains.add(summary["domains"], after.get("domains"))
    if not spreads or not rules:
        return None
    return Measured({name: spread.add(found) for name, found in spreads.items()}, rules, languages, domains)


def _summary(path: Path) -> dict[str, Any]:
    """A report tells what it can: a damaged file of work/ costs its own counts only."""
    try:
        return read_summary(path)
    except MachineError:
        return {}


def _add(total: dict[str, dict[str, int]], more: dict[str, dict[str, int]]) -> None:
    for name, counts in more.items():
        mine = total.setdefault(name, {})
        for key, count in counts.items():
            mine[key] = mine.get(key, 0) + count
