"""The road from raw text to shards, phase by phase. Each phase redoes only what its inputs make it redo."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import TryLater, UserError
from configs.loader import Loaded
from data_pipeline import account, check, documents_stage, shards_stage, splits
from data_pipeline.dedup import decisions, signatures
from data_pipeline.inputs import Listing, list_inputs
from data_pipeline.output import fingerprint, remove_leftovers, write_json
from data_pipeline.pool import Job, run_units
from data_pipeline.progress import Progress, amount
from data_pipeline.report.build import write_report
from data_pipeline.shards.atomic import fsync_directory, make_directory
from data_pipeline.shards.manifest import MANIFEST, Manifest, ShardEntry, write_manifest
from data_pipeline.shards.schema import SPLITS
from data_pipeline.tokenize.codec import Codec
from data_pipeline.tokenizer_stage import TOKENIZER_PATH, make_tokenizer
from data_pipeline.units import Unit

STATS = "stats.json"

CONTENT_SECTIONS = ("sources", "extract", "clean", "dedup", "tokenizer", "split", "shards")
"""Sections whose every key decides content; of `data` it is CONTENT_DATA_KEYS."""

CONTENT_DATA_KEYS = ("seed", "unit_bytes")

NEARLY_NOTHING = 0.0001
"""Deduplication that removes a smaller share of the documents is pointed out: its setting may be a mistake."""


@dataclass
class Summary:
    """What a run made. counts: of documents; seconds: of this run alone."""

    directory: str
    corpus_id: str
    documents_in: int
    documents_kept: int
    duplicates: int
    tokens: dict[str, int]
    shards: int
    vocab_size: int
    seconds: float
    manifest: str
    report: str
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return dict(vars(self))

    def text(self) -> str:
        """The lines printed at the end."""
        tokens = ", ".join(f"{name} {count:,}" for name, count in self.tokens.items())
        rows = {
            "documents": f"{self.documents_in:,} read, {self.documents_kept:,} kept, {self.duplicates:,} duplicates",
            "tokens": f"{tokens} (vocabulary {self.vocab_size:,})",
            "corpus": f"{self.corpus_id} in {self.shards:,} shards",
            "manifest": self.manifest,
            "report": self.report,
            "time": f"{self.seconds:.1f} s",
        }
        return "\n".join(f"{name:<10} {value}" for name, value in rows.items())


@dataclass
class Plan:
    """What a run would do. bytes: of the inputs, stored."""

    directory: str
    sources: dict[str, dict[str, int]]
    workers: int

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return dict(vars(self))

    def text(self) -> str:
        """One line per source."""
        lines = [f"would write {self.directory} with {self.workers} workers; nothing was written"]
        lines += [f"  {name}: {s['units']:,} units, {amount(s['bytes'])}" for name, s in self.sources.items()]
        return "\n".join(lines)


def plan(loaded: Loaded) -> Plan:
    """Checks configuration and inputs as `run` does, and writes nothing. UserError: all problems."""
    _require_sound(loaded)
    units = list_inputs(loaded.config).units
    sources = {
        source.name: {
            "units": sum(unit.source == source.name for unit in units),
            "bytes": sum(unit.size for unit in units if unit.source == source.name),
        }
        for source in loaded.config.sources
    }
    return Plan(loaded.config.data.dir, sources, _workers(loaded))


def run(loaded: Loaded, progress: Progress) -> Summary:
    """Makes the corpus of a configuration in `data.dir`, or what is missing of it.

    UserError: problems of configuration or inputs, a vocabulary the text does not support. MachineError: a fault of
    the machine. TryLater: another run is writing there.
    """
    with corpus_of(loaded) as out:
        return Road(loaded, out, progress).walk()


@contextlib.contextmanager
def corpus_of(loaded: Loaded, shared: bool = False) -> Iterator[Path]:
    """The directory of a sound configuration's corpus, for this process alone, or for the parts of an array together.

    UserError: problems of the configuration. TryLater: another run is writing there.
    """
    _require_sound(loaded)
    out = Path(loaded.config.data.dir)
    make_directory(out / "work")
    with _lock(out, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
        if not shared:
            remove_leftovers(out)
            shutil.rmtree(shards_stage.scratch(out), ignore_errors=True)
        yield out


def _require_sound(loaded: Loaded) -> None:
    problems = check.problems(loaded)
    if problems:
        raise UserError(*problems)


def _workers(loaded: Loaded) -> int:
    return loaded.config.data.workers or len(os.sched_getaffinity(0))


@contextlib.contextmanager
def _lock(out: Path, kind: int) -> Iterator[None]:
    """One run per corpus: the kernel lets go of the lock however the holder ends."""
    path = out / "work" / "lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except OSError:
            raise TryLater(
                "another `millrace data run` is writing this corpus", str(out), go_on="wait for it"
            ) from None
        yield


@dataclass
class Prepared:
    """All that comes before the first token: the results of each phase, and the shards to be."""

    documents: list[dict[str, Any]]
    decided: list[dict[str, Any]]
    codec: Codec
    trained: dict[str, Any]
    shards: list[shards_stage.ShardJob]


class Road:
    """One run, with what it has measured so far."""

    def __init__(self, loaded: Loaded, out: Path, progress: Progress) -> None:
        self.loaded, self.config, self.out, self.progress = loaded, loaded.config, out, progress
        self.workers = _workers(loaded)
        self.started = time.monotonic()
        self.began = datetime.datetime.now(datetime.UTC)
        self.timings: list[dict[str, Any]] = []

    def walk(self) -> Summary:
        """All phases."""
        listing = self.inventory()
        ready = self.prepare(listing)
        written = self.write(ready.shards)
        pairs = zip(listing.units, ready.documents, ready.decided, strict=True)
        found = [(unit.source, read, decided) for unit, read, decided in pairs]
        stages = [
            *documents_stage.stages([(source, read) for source, read, _ in found]),
            account.stage("dedup", [(source, decided) for source, _, decided in found]),
            account.stage("shards", [(job.source, result) for job, result in zip(ready.shards, written, strict=True)]),
        ]
        manifest = self._manifest(ready.codec, listing.units, ready.documents, stages, ready.shards, written)
        return self._finish(manifest, listing, ready.documents, ready.trained, ready.shards)

    def inventory(self) -> Listing:
        """The units, hashed."""
        with self._timed("list") as timing:
            listing = list_inputs(self.config, self.out / "work" / "hashes.json")
            timing["bytes"] = sum(unit.size for unit in listing.units)
        return listing

    def jobs(self, units: Sequence[Unit]) -> Sequence[Job]:
        """One job per unit."""
        return [Job(self.config, self.out, unit) for unit in units]

    def read(self, jobs: Sequence[Job]) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
        """Documents and signatures of units, each of which depends on no other."""
        return self._units("documents", jobs, documents_stage), self._units("signatures", jobs, signatures)

    def prepare(self, listing: Listing) -> Prepared:
        """Everything up to the plan of the shards. The manifest is withdrawn where one of them will change."""
        units = listing.units
        jobs = self.jobs(units)
        documents, signed = self.read(jobs)
        with self._timed("dedup"):
            decided = decisions.decide(self.out, units, signed, self.config.dedup, self.progress)
        lots = self._units("lots", jobs, splits)
        with self._timed("tokenizer"):
            codec, trained = make_tokenizer(self.loaded, self.out, units, self.progress, self._withdraw_manifest)
        shards = shards_stage.plan_shards(self.config, self.out, units, lots, codec)
        if any(shards_stage.finished(job) is None for job in shards):
            self._withdraw_manifest()
        return Prepared([*documents], decided, codec, trained, shards)

    def write(self, jobs: Sequence[shards_stage.ShardJob]) -> Sequence[dict[str, Any]]:
        """The shards."""
        with self._timed("shards") as timing:
            timing["bytes"] = sum(job.text_bytes for job in jobs)
            return run_units(
                "shards", jobs, shards_stage.process, self.workers, shards_stage.finished,
                lambda job: job.text_bytes, self.progress,
            )  # fmt: skip

    def _units(self, name: str, jobs: Sequence[Job], phase: Any) -> Sequence[dict[str, Any]]:
        with self._timed(name) as timing:
            timing["bytes"] = sum(job.unit.size for job in jobs)
            return run_units(
                name, jobs, phase.process, self.workers, phase.finished, lambda job: job.unit.size, self.progress
            )

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[dict[str, Any]]:
        timing: dict[str, Any] = {"name": name}
        start = time.monotonic()
        yield timing
        timing["seconds"] = round(time.monotonic() - start, 3)
        self.timings.append(timing)

    def _withdraw_manifest(self) -> None:
        """Takes the manifest away before anything it speaks of changes: a corpus is never other than it says."""
        path = self.out / MANIFEST
        if path.exists():
            path.unlink()
            fsync_directory(self.out)

    def _manifest(
        self,
        codec: Codec,
        units: Sequence[Unit],
        documents: Sequence[dict[str, Any]],
        stages: list[account.Stage],
        jobs: Sequence[shards_stage.ShardJob],
        written: Sequence[dict[str, Any]],
    ) -> Manifest:
        shards: dict[str, list[ShardEntry]] = {split: [] for split in SPLITS}
        for job, result in zip(jobs, written, strict=True):
            if result["entry"] is not None:
                shards[job.split].append(ShardEntry(**result["entry"]))
        return Manifest(
            splits=shards,
            vocab_size=codec.vocab_size,
            end_of_document=codec.end_of_document,
            tokenizer_path=TOKENIZER_PATH,
            tokenizer_hash=codec.hash,
            tokenizer_bytes=len(codec.model),
            inputs=_inputs(units, documents),
            config=content_config(self.loaded),
            stages=stages,
            versions=documents_stage.versions() | shards_stage.versions(),
        )

    def _finish(
        self,
        manifest: Manifest,
        listing: Listing,
        documents: Sequence[dict[str, Any]],
        trained: dict[str, Any],
        jobs: Sequence[shards_stage.ShardJob],
    ) -> Summary:
        path = self.out / MANIFEST
        if not path.is_file() or path.read_bytes() != manifest.to_json():
            write_manifest(self.out, manifest)
        for stale in shards_stage.stale_files(self.out, jobs):
            self.progress.say(f"removed {stale}: no longer part of the corpus")
            stale.unlink()
        warnings = self._warnings(manifest, documents, listing)
        for warning in warnings:
            self.progress.say(f"warning: {warning}")
        seconds = time.monotonic() - self.started
        write_json(self.out / STATS, self._stats(manifest, listing, documents, trained, warnings, seconds))
        page = write_report(self.out)
        by_name = {stage["name"]: stage for stage in manifest.stages}
        entries = [entry for shards in manifest.splits.values() for entry in shards]
        return Summary(
            directory=str(self.out),
            corpus_id=manifest.corpus_id,
            documents_in=manifest.stages[0]["documents"]["in"],
            documents_kept=sum(entry.documents for entry in entries),
            duplicates=account.rejected(by_name["dedup"]),
            tokens={split: manifest.tokens(split) for split in SPLITS},
            shards=len(entries),
            vocab_size=manifest.vocab_size,
            seconds=round(seconds, 3),
            manifest=str(path),
            report=str(page),
            warnings=warnings,
        )

    def _warnings(self, manifest: Manifest, documents: Sequence[dict[str, Any]], listing: Listing) -> list[str]:
        found = []
        dedup = next(stage for stage in manifest.stages if stage["name"] == "dedup")
        total, gone = dedup["documents"]["in"], account.rejected(dedup)
        if not self.config.dedup.exact:
            found.append("dedup is turned off (dedup.exact=false): copies stay")
        elif not total:
            found.append("no document was kept: the report tells the reasons")
        elif gone <= NEARLY_NOTHING * total:
            found.append(f"dedup removed {gone:,} of {total:,} documents: there are next to no equal texts")
        for split in SPLITS:
            if not manifest.splits[split] and (split == "train" or getattr(self.config.split, split) > 0):
                found.append(f"the {split} split is empty")
        found += documents_stage.warnings(documents)
        for name, reasons in listing.left_out.items():
            for reason, left in reasons.items():
                found.append(f"source {name}: {left.files:,} files ({amount(left.bytes)}) left out: {reason}")
        return found

    def _stats(
        self,
        manifest: Manifest,
        listing: Listing,
        documents: Sequence[dict[str, Any]],
        trained: dict[str, Any],
        warnings: list[str],
        seconds: float,
    ) -> dict[str, Any]:
        for timing in self.timings:
            if timing.get("bytes") and timing["seconds"]:
                timing["bytes_per_second"] = round(timing["bytes"] / timing["seconds"])
        return {
            "corpus_id": manifest.corpus_id,
            "began": self.began.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "phases": self.timings,
            "host": platform.node(),
            "machine": f"{platform.machine()}, {os.cpu_count()} processors",
            "python": sys.version.split()[0],
            "workers": self.workers,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "inputs": {
                name: {
                    "units": sum(unit.source == name for unit in listing.units),
                    "bytes": sum(unit.size for unit in listing.units if unit.source == name),
                    "left_out": {reason: vars(left) for reason, left in reasons.items()},
                }
                for name, reasons in listing.left_out.items()
            },
            "tokenizer": trained,
            "damaged": documents_stage.damage(documents),
            "warnings": warnings,
        }


def _inputs(units: Sequence[Unit], documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What was read, by source: xxh3 is of the identities of its units (relative path, slice, size, bytes).

    skipped: records that are no documents by their nature; damaged: what could not be read; both by kind.
    """
    found: dict[str, Any] = {}
    for name in dict.fromkeys(unit.source for unit in units):
        mine = [(unit, found["read"]) for unit, found in zip(units, documents, strict=True) if unit.source == name]
        kinds: dict[str, dict[str, int]] = {"skipped": {}, "damaged": {}}
        for _, read in mine:
            for kind, number in read["skipped"].items():
                kinds["skipped"][kind] = kinds["skipped"].get(kind, 0) + number
            for kind, damage in read["damaged"].items():
                kinds["damaged"][kind] = kinds["damaged"].get(kind, 0) + damage["count"]
        found[name] = {
            "units": len(mine),
            "bytes": sum(unit.size for unit, _ in mine),
            "xxh3": fingerprint(units=[unit.identity for unit, _ in mine]),
            "records": sum(read["records"] for _, read in mine),
            **kinds,
        }
    return found


def content_config(loaded: Loaded) -> dict[str, Any]:
    """The configuration keys that decide content, as JSON. Values from the environment stay `${env:NAME}`.

    Where inputs lie is not among them: the same files elsewhere give the same corpus.
    """
    tree = loaded.to_dict()
    tree["sources"] = [{key: value for key, value in source.items() if key != "paths"} for source in tree["sources"]]
    del tree["tokenizer"]["model"]
    data = {key: tree["data"][key] for key in CONTENT_DATA_KEYS}
    return {**{name: tree[name] for name in CONTENT_SECTIONS}, "data": data}
