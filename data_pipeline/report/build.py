"""report.html from the manifest, stats.json, the shards or documents, and what is left of work/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.account import rejected
from data_pipeline.clean import pii
from data_pipeline.output import write_bytes
from data_pipeline.progress import amount
from data_pipeline.report import measured, page, samples, shares, view
from data_pipeline.report.page import escaped, shown
from data_pipeline.report.view import View
from data_pipeline.shards import Manifest, ShardReader

REPORT = "report.html"

_TEXT_LIMIT = 700
_URL_LIMIT = 120


def write_report(directory: Path) -> Path:
    """Writes DIR/report.html and returns its path. UserError, MachineError: no corpus, or a damaged one."""
    seen = view.load(directory)
    parts = [_head(seen), _warnings(seen.stats), _funnel(seen), _reasons(seen)]
    parts.append(_sources(seen) if seen.manifest is None else _splits(seen, seen.manifest))
    parts.append(shares.tables(seen))
    if seen.measured is not None:
        parts.append(measured.lengths(seen.measured))
    if seen.manifest is not None:
        parts.append(_lengths(directory, seen.manifest))
    parts += [_kept(seen), _rejected(directory)]
    if seen.measured is not None and seen.clean is not None:
        parts.append(measured.thresholds(seen.measured, seen.clean))
    parts += [_phases(seen.stats), _foot(seen)]
    path = directory / REPORT
    html = page.page(f"Corpus {seen.corpus_id[:12]}", "\n".join(parts))
    write_bytes(path, html.encode("utf-8", "replace"))
    return path


def _head(seen: View) -> str:
    stats = seen.stats
    first = seen.stages[0]["documents"]["in"] if seen.stages else 0
    documents = seen.stages[-1]["documents"]["kept"] if seen.stages else 0
    duplicates = sum(rejected(stage) for stage in seen.stages if stage["name"] == "dedup")
    copies = sum(stage.get("copies", {}).get("documents", 0) for stage in seen.stages)
    figures = [
        ("documents read", f"{first:,}"),
        ("documents kept, with copies" if copies else "documents kept", f"{documents:,}"),
        ("share kept", f"{_share_kept(seen):.1%}" if first else "-"),
        ("duplicates removed", f"{duplicates:,}"),
    ]
    if copies:
        figures.append(("copies added", f"{copies:,}"))
    if seen.manifest is not None:
        tokens = sum(map(seen.manifest.tokens, seen.manifest.splits))
        figures += [("tokens", f"{tokens:,}"), ("vocabulary", f"{seen.manifest.vocab_size:,}")]
    elif seen.documents is not None:
        text = sum(entry.text_bytes for entry in seen.documents.files)
        figures += [("of text", amount(text)), ("Parquet files", f"{len(seen.documents.files):,}")]
    made = f"Made {escaped(stats['began'][:16].replace('T', ' '))} UTC" if "began" in stats else ""
    took = f" in {_spent(stats['seconds'])} with {_count(stats['workers'], 'worker')}" if "seconds" in stats else ""
    names = ", ".join(escaped(name) for name in seen.sources)
    return (
        f"<h1>Corpus report</h1><p class='soft'>{names}. {made}{took}.<br>"
        f"Corpus id <span class='mono'>{escaped(seen.corpus_id)}</span></p>" + page.cards(figures)
    )


def _share_kept(seen: View) -> float:
    """Of the documents read, each counted once."""
    last = next((stage for stage in reversed(seen.stages) if stage["name"] != "shards"), seen.stages[-1])
    copied = any(stage.get("copies", {}).get("documents") for stage in seen.stages)
    return float((last if copied else seen.stages[-1])["documents"]["kept"] / seen.stages[0]["documents"]["in"])


def _warnings(stats: dict[str, Any]) -> str:
    lines = [f"<p>{shown(str(text), 500)}</p>" for text in stats.get("warnings", [])]
    return f'<div class="warn">{"".join(lines)}</div>' if lines else ""


def _funnel(seen: View) -> str:
    panels = []
    for what, say in (("documents", lambda n: f"{n:,}"), ("bytes", amount)):
        whole = max((stage[what]["in"] for stage in seen.stages), default=0)
        first = seen.stages[0][what]["in"] if seen.stages else 0
        rows = [["read", page.bar(first, 0, whole), say(first), ""]]
        rows += [
            [
                escaped(stage["name"]),
                page.bar(stage[what]["kept"], rejected(stage, what), whole),
                say(stage[what]["kept"]),
                say(rejected(stage, what)),
            ]
            for stage in seen.stages
        ]
        head = ["stage", "", "kept", "rejected"]
        panels.append(f'<div class="panel"><h3>{what.capitalize()}</h3>{page.table(head, rows, (2, 3), (1,))}</div>')
    goal = "documents" if seen.manifest is None else "shards"
    key = '<p class="soft"><span class="key kept"></span>kept<span class="key gone"></span>rejected at this stage</p>'
    return f'<h2>From raw text to {goal}</h2><div class="two">{"".join(panels)}</div>{key}'


def _reasons(seen: View) -> str:
    rows = []
    total = seen.stages[0]["documents"]["in"] if seen.stages else 0
    for stage in seen.stages:
        reasons = stage["documents"]["rejected"]
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            size = stage["bytes"]["rejected"].get(reason, 0)
            share = f"{count / total:.2%}" if total else ""
            label = escaped(reason.replace("_", " "))
            rows.append([escaped(stage["name"]), label, page.bar(0, count, total), f"{count:,}", share, amount(size)])
    if not rows:
        return "<h2>Why documents were rejected</h2><p class='soft'>None was.</p>"
    head = ["stage", "reason", "", "documents", "of all read", "bytes"]
    return f'<h2>Why documents were rejected</h2><div class="panel">{page.table(head, rows, (3, 4, 5), (2,))}</div>'


def _read(seen: View, source: str) -> int:
    """Documents of the source that came in."""
    first = seen.stages[0]["sources"] if seen.stages else {}
    return first.get(source, {}).get("documents", {"in": 0})["in"]


def _sources(seen: View) -> str:
    """A corpus of documents, by source."""
    assert seen.documents is not None
    rows = []
    for source in seen.inputs or seen.sources:
        files = [entry for entry in seen.documents.files if entry.source == source]
        read, kept = _read(seen, source), sum(entry.documents for entry in files)
        share = f"{kept / read:.1%}" if read else "-"
        sizes = [amount(sum(entry.text_bytes for entry in files)), amount(sum(entry.bytes for entry in files))]
        rows.append([escaped(source), f"{read:,}", f"{kept:,}", share, *sizes, f"{len(files):,}"])
    head = ["source", "documents read", "kept", "share kept", "text", "Parquet", "files"]
    return f'<h2>Sources</h2><div class="panel">{page.table(head, rows, range(1, len(head)))}</div>'


def _splits(seen: View, manifest: Manifest) -> str:
    """A corpus of shards, by source and split."""
    total = sum(manifest.tokens(split) for split in manifest.splits)
    rows = []
    for source in manifest.inputs or manifest.sources:
        read = _read(seen, source)
        tokens = {
            split: sum(entry.tokens for entry in shards if entry.source == source)
            for split, shards in manifest.splits.items()
        }
        documents = sum(e.documents for shards in manifest.splits.values() for e in shards if e.source == source)
        number = sum(e.source == source for shards in manifest.splits.values() for e in shards)
        mine = sum(tokens.values())
        share = f"{mine / total:.1%}" if total else "-"
        counts = [f"{read:,}", f"{documents:,}", *(f"{count:,}" for count in tokens.values()), share, f"{number:,}"]
        rows.append([escaped(source), *counts])
    head = [
        "source",
        "documents read",
        "kept",
        *(f"{split} tokens" for split in manifest.splits),
        "of tokens",
        "shards",
    ]
    return f'<h2>Sources and splits</h2><div class="panel">{page.table(head, rows, range(1, len(head)))}</div>'


def _lengths(directory: Path, manifest: Manifest) -> str:
    """Lengths of documents in powers of two, from the offsets alone."""
    counts = np.zeros(40, np.int64)
    for shards in manifest.splits.values():
        for entry in shards:
            lengths = np.diff(ShardReader(directory / entry.path).offsets)
            counts += np.bincount(np.log2(np.maximum(lengths, 1)).astype(np.int64), minlength=40)
    used = np.flatnonzero(counts)
    if not len(used):
        return ""
    span = range(int(used[0]), int(used[-1]) + 1)
    chart = page.histogram([int(counts[i]) for i in span], [_power(i) for i in span])
    return (
        "<h2>Length of documents kept</h2>"
        f'<div class="panel"><h3>Documents by number of tokens; each column from its label to the next</h3>{chart}</div>'
    )


def _power(exponent: int) -> str:
    value = 2**exponent
    return f"{value}" if value < 1024 else f"{value // 1024}k" if value < 2**20 else f"{value >> 20}M"


def _kept(seen: View) -> str:
    found = (
        samples.kept_documents(seen.directory) if seen.manifest is None else samples.kept(seen.directory, seen.manifest)
    )
    cards = [page.sample(e.source, False, [shown(e.url, _URL_LIMIT), escaped(e.note)], _text(e.text)) for e in found]
    return "<h2>Samples kept</h2>" + _samples(cards)


def _rejected(directory: Path) -> str:
    found = samples.rejected(directory)
    cards = [
        page.sample(
            f"{e.stage}: {e.reason.replace('_', ' ')}",
            True,
            [escaped(e.source), shown(e.url, _URL_LIMIT), escaped(e.note)],
            _text(e.text) if e.text else "(text withheld)",
        )
        for e in found
    ]
    return "<h2>Samples rejected</h2>" + _samples(cards)


def _text(text: str) -> str:
    """The beginning of a text as people see it: personal data is masked, whatever the settings of the corpus."""
    return shown(pii.masked(text[: 2 * _TEXT_LIMIT]), _TEXT_LIMIT)


def _samples(cards: list[str]) -> str:
    return f'<div class="two">{"".join(cards)}</div>' if cards else "<p class='soft'>None.</p>"


def _phases(stats: dict[str, Any]) -> str:
    rows = []
    for phase in stats.get("phases", []):
        rate = f"{amount(phase['bytes_per_second'])}/s" if "bytes_per_second" in phase else ""
        size = amount(phase["bytes"]) if phase.get("bytes") else ""
        rows.append([escaped(phase["name"]), f"{phase['seconds']:.1f}", size, rate])
    if not rows:
        return ""
    note = "<p class='soft'>Of the last run alone: what was finished before it is not counted in seconds.</p>"
    head = ["phase", "seconds", "bytes", "rate"]
    return f'<h2>Time of the last run</h2><div class="panel">{page.table(head, rows, (1, 2, 3))}</div>{note}'


def _foot(seen: View) -> str:
    versions = ", ".join(f"{escaped(name)} {escaped(version)}" for name, version in sorted(seen.versions.items()))
    tokenizer = ""
    if seen.manifest is not None:
        tokenizer = f"Tokenizer <span class='mono'>{escaped(seen.manifest.tokenizer_hash)}</span>. "
    return f"<footer>{tokenizer}Made with {versions or 'unnamed versions'}.</footer>"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _spent(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{seconds:.1f} s" if seconds < 60 else f"{minutes} min {rest} s"
