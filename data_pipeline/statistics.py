"""What is told of a run beside its corpus: warnings, what was read, and on which machine in what time."""

from __future__ import annotations

import datetime
import os
import platform
import resource
import sys
from collections.abc import Sequence
from typing import Any

from configs.schema.tree import Config
from data_pipeline import account, documents_stage
from data_pipeline.inputs import Listing
from data_pipeline.output import fingerprint
from data_pipeline.progress import amount
from data_pipeline.units import Unit

NEARLY_NOTHING = 0.0001
"""Deduplication that removes a smaller share of the documents is pointed out: its setting may be a mistake."""


def warnings(
    config: Config, stages: Sequence[account.Stage], documents: Sequence[dict[str, Any]], listing: Listing
) -> list[str]:
    """What the user should look at before the corpus is used."""
    found = []
    dedup = next(stage for stage in stages if stage["name"] == "dedup")
    total, gone = dedup["documents"]["in"], account.rejected(dedup)
    if not config.dedup.exact:
        found.append("dedup is turned off (dedup.exact=false): copies stay")
    elif not total:
        found.append("no document was kept: the report tells the reasons")
    elif gone <= NEARLY_NOTHING * total:
        found.append(f"dedup removed {gone:,} of {total:,} documents: there are next to no equal texts")
    for reason, count in unrepeatable(stages).items():
        found.append(f"{count:,} pages rejected as {reason}: another run may decide otherwise on them")
    found += documents_stage.warnings(documents)
    for name, reasons in listing.left_out.items():
        for reason, left in reasons.items():
            found.append(f"source {name}: {left.files:,} files ({amount(left.bytes)}) left out: {reason}")
    return found


def unrepeatable(stages: Sequence[account.Stage]) -> dict[str, int]:
    """Documents by reasons that depend on the machine: the one exception to the same bytes from the same inputs."""
    rejected = stages[0]["documents"]["rejected"]
    return {reason: rejected[reason] for reason in ("extract_crash", "extract_timeout") if reason in rejected}


def machine(
    began: datetime.datetime, seconds: float, timings: Sequence[dict[str, Any]], workers: int
) -> dict[str, Any]:
    """When, where and how fast; peak_bytes: the largest resident memory of any of the run's processes."""
    for timing in timings:
        if timing.get("bytes") and timing["seconds"]:
            timing["bytes_per_second"] = round(timing["bytes"] / timing["seconds"])
    peaks = (resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "began": began.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "phases": timings,
        "host": platform.node(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "python": sys.version.split()[0],
        "workers": workers,
        "peak_bytes": max(peaks),
    }


def listed(listing: Listing) -> dict[str, Any]:
    """Units, bytes and what was left out, by source."""
    return {
        name: {
            "units": sum(unit.source == name for unit in listing.units),
            "bytes": sum(unit.size for unit in listing.units if unit.source == name),
            "left_out": {reason: vars(left) for reason, left in reasons.items()},
        }
        for name, reasons in listing.left_out.items()
    }


def inputs(units: Sequence[Unit], documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
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
