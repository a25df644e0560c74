"""The end of a run: its manifest, and what is no longer part of the corpus; warnings, statistics, report, summary."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from configs.loader import Loaded
from data_pipeline import account, balance, documents_stage, filter_stage, parquet_stage, shards_stage, statistics
from data_pipeline.course import Cleaned, Course, Prepared
from data_pipeline.documents_manifest import DOCUMENTS, DocumentsManifest, write_documents_manifest
from data_pipeline.inputs import Listing
from data_pipeline.output import remove_leftovers, write_json
from data_pipeline.report.build import write_report
from data_pipeline.shards.manifest import MANIFEST, Manifest, ShardEntry, write_manifest
from data_pipeline.shards.schema import SPLITS
from data_pipeline.summary import Summary
from data_pipeline.tokenizer_stage import TOKENIZER_PATH
from data_pipeline.units import unit_path

STATS = "stats.json"

CONTENT_SECTIONS = ("sources", "extract", "clean", "dedup", "tokenizer", "split", "shards")
"""Sections whose every key decides content; of `data` it is CONTENT_DATA_KEYS."""

CONTENT_DATA_KEYS = ("seed", "unit_bytes")


def close_shards(
    road: Course, listing: Listing, cleaned: Cleaned, ready: Prepared, written: Sequence[dict[str, Any]]
) -> Summary:
    """Ends a run whose product are shards. written: the results of `ready.shards`."""
    pairs = list(zip(ready.shards, written, strict=True))
    shards: dict[str, list[ShardEntry]] = {split: [] for split in SPLITS}
    for job, result in pairs:
        if result["entry"] is not None:
            shards[job.split].append(ShardEntry(**result["entry"]))
    stages = [
        *_stages(road, listing, cleaned, ready.lots),
        account.stage("shards", [(job.source, result) for job, result in pairs]),
    ]
    manifest = Manifest(
        splits=shards,
        vocab_size=ready.codec.vocab_size,
        end_of_document=ready.codec.end_of_document,
        tokenizer_path=TOKENIZER_PATH,
        tokenizer_hash=ready.codec.hash,
        tokenizer_bytes=len(ready.codec.model),
        inputs=statistics.inputs(listing.units, cleaned.documents),
        config=content_config(road.loaded),
        stages=stages,
        versions=documents_stage.versions(road.config) | shards_stage.versions(),
    )
    path = road.out / MANIFEST
    if not path.is_file() or path.read_bytes() != manifest.to_json():
        write_manifest(road.out, manifest)
    _remove(road, shards_stage.stale_files(road.out, ready.shards))
    empty = [split for split in SPLITS if not shards[split] and (split == "train" or getattr(road.config.split, split))]
    warnings = [f"the {split} split is empty" for split in empty]
    warnings = _tell(road, listing, cleaned, stages, warnings, manifest.corpus_id, {"tokenizer": ready.trained})
    entries = [entry for found in shards.values() for entry in found]
    return Summary(
        corpus_id=manifest.corpus_id,
        documents_kept=sum(entry.documents for entry in entries),
        tokens={split: manifest.tokens(split) for split in SPLITS},
        shards=len(entries),
        vocab_size=manifest.vocab_size,
        manifest=str(path),
        **_summed(road, stages, warnings),
    )


def close_documents(road: Course, listing: Listing, cleaned: Cleaned, written: Sequence[dict[str, Any]]) -> Summary:
    """Ends a run whose product are documents. written: one result per unit."""
    stages = _stages(road, listing, cleaned, [{} for _ in listing.units])
    manifest = DocumentsManifest(
        files=[result["entry"] for result in written],
        inputs=statistics.inputs(listing.units, cleaned.documents),
        config=content_config(road.loaded),
        stages=stages,
        versions=documents_stage.versions(road.config) | parquet_stage.versions(),
    )
    write_documents_manifest(road.out, manifest)
    _remove(road, parquet_stage.stale_files(road.out, listing.units))
    warnings = _tell(road, listing, cleaned, stages, [], manifest.corpus_id, {})
    return Summary(
        corpus_id=manifest.corpus_id,
        documents_kept=sum(entry.documents for entry in manifest.files),
        text_bytes=sum(entry.text_bytes for entry in manifest.files),
        files=len(manifest.files),
        manifest=str(road.out / DOCUMENTS),
        **_summed(road, stages, warnings),
    )


def _stages(road: Course, listing: Listing, cleaned: Cleaned, lots: Sequence[dict[str, Any]]) -> list[account.Stage]:
    """All stages but the last. lots: {} of each unit where nothing is copied."""
    sources = [unit.source for unit in listing.units]
    balanced = [
        {**result, **({"copies": drawn["copies"]} if "copies" in drawn else {})}
        for result, drawn in zip(cleaned.balanced, lots, strict=True)
    ]
    on = balance.in_force(road.config.clean.balance)
    return [
        *documents_stage.stages([*zip(sources, cleaned.documents, strict=True)]),
        account.stage(filter_stage.NAME, [*zip(sources, cleaned.filtered, strict=True)]),
        account.stage("dedup", [*zip(sources, cleaned.decided, strict=True)]),
        *([account.stage(balance.NAME, [*zip(sources, balanced, strict=True)])] if on else []),
    ]


def _remove(road: Course, stale: Iterable[Path]) -> None:
    for path in stale:
        road.progress.say(f"removed {path}: no longer part of the corpus")
        path.unlink()


def _tell(
    road: Course,
    listing: Listing,
    cleaned: Cleaned,
    stages: Sequence[account.Stage],
    warnings: Sequence[str],
    corpus_id: str,
    more: dict[str, Any],
) -> list[str]:
    """Removes work of units that are gone, and writes statistics and report. Returns all warnings, said."""
    gone = _stale_work(road.out, listing)
    if gone:
        road.progress.say(f"removed {len(gone):,} files of work on inputs that are no longer part of the corpus")
        for path in gone:
            path.unlink()
    found = statistics.warnings(road.config, stages, cleaned.documents, listing)
    warnings = [*found, *balance.warnings(road.config.clean.balance, cleaned.balanced), *warnings]
    for warning in warnings:
        road.progress.say(f"warning: {warning}")
    told = statistics.machine(road.began, time.monotonic() - road.started, road.timings, road.workers)
    told |= {"corpus_id": corpus_id, "inputs": statistics.listed(listing), "warnings": warnings}
    told |= {
        "damaged": documents_stage.damage(cleaned.documents),
        "unrepeatable": statistics.unrepeatable(stages),
        **more,
    }
    write_json(road.out / STATS, told)
    remove_leftovers(road.out)  # of an attempt that was still dying when this one began
    write_report(road.out)
    return warnings


def _summed(road: Course, stages: Sequence[account.Stage], warnings: list[str]) -> dict[str, Any]:
    return {
        "directory": str(road.out),
        "documents_in": stages[0]["documents"]["in"],
        "duplicates": account.rejected(next(stage for stage in stages if stage["name"] == "dedup")),
        "seconds": round(time.monotonic() - road.started, 3),
        "report": str(road.out / "report.html"),
        "warnings": warnings,
    }


_WORK = ("documents", "signals", "rejects", "verdicts", "signatures", "decisions", "balance", "lots", "files")


def _stale_work(out: Path, listing: Listing) -> list[Path]:
    """Outputs of units that are no longer listed."""
    stale: list[Path] = []
    for name in _WORK:
        root = out / "work" / name
        expected = {unit_path(root, unit) for unit in listing.units}
        stale += sorted(path for path in root.rglob("*.arrow") if path not in expected)
    return stale


def content_config(loaded: Loaded) -> dict[str, Any]:
    """The configuration keys that decide content, as JSON. Values from the environment stay `${env:NAME}`.

    Where inputs, lists and models lie is not among them: the same files elsewhere give the same corpus. In the place of
    a list or model stands the hash of its bytes.
    """
    tree = loaded.to_dict()
    places = {"paths", "base"}
    tree["sources"] = [{key: value for key, value in source.items() if key not in places} for source in tree["sources"]]
    del tree["tokenizer"]["model"]
    _name_by_hash(tree["clean"], documents_stage.file_hashes(loaded.config))
    data = {key: tree["data"][key] for key in CONTENT_DATA_KEYS}
    return {**{name: tree[name] for name in CONTENT_SECTIONS}, "data": data}


def _name_by_hash(clean: dict[str, Any], files: Sequence[tuple[str, str]]) -> None:
    """files: (role, hash), as `documents_stage.file_hashes`."""

    def of(role: str) -> list[str]:
        return [digest for name, digest in files if name == role]

    for name in clean["urls"]:
        clean["urls"][name] = of(f"urls.{name}")
    lists = [(name.removeprefix("bad_words "), digest) for name, digest in files if name.startswith("bad_words ")]
    clean["bad_words"]["lists"] = [f"{language} {digest}" for language, digest in lists]
    clean["language_model"] = "".join(of("language_model"))
    for classifier in clean["classifiers"]:
        classifier["model"] = "".join(of(f"classifier_{classifier['name']}"))
