"""The road from raw text to shards, phase by phase. Each phase redoes only what its inputs make it redo."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.errors import TryLater, UserError
from configs.loader import Loaded
from data_pipeline import balance, check, closing, documents_stage, filter_stage, parquet_stage, shards_stage, splits
from data_pipeline.course import Cleaned, Course, Prepared, Results, workers_of
from data_pipeline.dedup import decisions, signatures
from data_pipeline.documents_manifest import DOCUMENTS
from data_pipeline.inputs import Listing, list_inputs
from data_pipeline.output import remove_leftovers
from data_pipeline.pool import Job, run_units
from data_pipeline.progress import Progress
from data_pipeline.publish import publish_corpus
from data_pipeline.shards.atomic import fsync_directory, make_directory
from data_pipeline.shards.manifest import MANIFEST
from data_pipeline.summary import Plan, Summary
from data_pipeline.tokenizer_stage import make_tokenizer
from data_pipeline.units import Unit


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
    return Plan(loaded.config.data.dir, sources, workers_of(loaded))


def run(loaded: Loaded, progress: Progress) -> Summary:
    """Makes the corpus of a configuration in `data.dir`, or what is missing of it.

    UserError: problems of configuration or inputs, a vocabulary the text does not support. MachineError: a fault of
    the machine. TryLater: another run is writing there, or the store of `data.publish` does not answer.
    """
    with corpus_of(loaded) as out:
        summary = Road(loaded, out, progress).walk()
        if loaded.config.data.publish:
            summary.published = publish_corpus(out, loaded.config.data.publish, progress)
        return summary


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


class Road(Course):
    """The phases of a run."""

    def walk(self) -> Summary:
        """All phases."""
        listing = self.inventory()
        cleaned = self.clean(listing)
        if self.config.data.product == "documents":
            return closing.close_documents(self, listing, cleaned, self.write_documents(self.jobs(listing.units)))
        ready = self.prepare(listing)
        return closing.close_shards(self, listing, cleaned, ready, self.write_shards(ready.shards))

    def inventory(self) -> Listing:
        """The units, hashed."""
        with self.timed("list") as timing:
            listing = list_inputs(self.config, self.out / "work" / "hashes.json")
            timing["bytes"] = sum(unit.size for unit in listing.units)
        return listing

    def jobs(self, units: Sequence[Unit]) -> Sequence[Job]:
        """One job per unit."""
        return [Job(self.config, self.out, unit) for unit in units]

    def read(self, jobs: Sequence[Job]) -> tuple[Results, Results, Results]:
        """Documents, verdicts and signatures of units, each of which depends on no other."""
        return (
            self._units("documents", jobs, documents_stage),
            self._units("filter", jobs, filter_stage),
            self._units("signatures", jobs, signatures),
        )

    def clean(self, listing: Listing) -> Cleaned:
        """Everything that decides which documents stay."""
        documents, filtered, signed = self.read(self.jobs(listing.units))
        with self.timed("dedup"):
            decided = decisions.decide(self.out, listing.units, signed, self.config.dedup, self.progress)
        with self.timed(balance.NAME):
            balanced = balance.decide(self.out, listing.units, decided, self.config, self.progress)
        return Cleaned(documents, filtered, decided, balanced)

    def prepare(self, listing: Listing) -> Prepared:
        """From the documents that stay to the plan of the shards. The manifest is withdrawn where one of them will change."""
        units = listing.units
        lots = self._units("lots", self.jobs(units), splits)
        with self.timed("tokenizer"):
            codec, trained = make_tokenizer(self.loaded, self.out, units, self.progress, self._withdraw_manifest)
        shards = shards_stage.plan_shards(self.config, self.out, units, lots, codec)
        if any(shards_stage.finished(job) is None for job in shards):
            self._withdraw_manifest()
        return Prepared(lots, codec, trained, shards)

    def write_shards(self, jobs: Sequence[shards_stage.ShardJob]) -> Results:
        """The shards."""
        with self.timed("shards") as timing:
            timing["bytes"] = sum(job.text_bytes for job in jobs)
            return run_units(
                "shards", jobs, shards_stage.process, self.workers, shards_stage.finished,
                lambda job: job.text_bytes, self.progress,
            )  # fmt: skip

    def write_documents(self, jobs: Sequence[Job]) -> Results:
        """The Parquet files. Their list is withdrawn where one of them will change."""
        if any(parquet_stage.finished(job) is None for job in jobs):
            self._withdraw(DOCUMENTS)
        return self._units("parquet", jobs, parquet_stage)

    def _units(self, name: str, jobs: Sequence[Job], phase: Any) -> Sequence[dict[str, Any]]:
        with self.timed(name) as timing:
            timing["bytes"] = sum(job.unit.size for job in jobs)
            return run_units(
                name, jobs, phase.process, self.workers, phase.finished, lambda job: job.unit.size, self.progress
            )

    def _withdraw_manifest(self) -> None:
        self._withdraw(MANIFEST)

    def _withdraw(self, name: str) -> None:
        """Takes a manifest away before anything it speaks of changes: a corpus is never other than it says."""
        path = self.out / name
        if path.exists():
            path.unlink()
            fsync_directory(self.out)
