"""The phases of the road that can be divided among the tasks of arrays, and those that lie between.

    list        one process    hashes the inputs
    documents   part i of n    documents and signatures of its units
    decide      one process    duplicates, splits, tokenizer, the plan of the shards
    shards      part i of n    its shards, or its files where the product are documents

A plain `data run` at the end finds all of it finished and writes manifest and report. Each output carries its own
fingerprint, so neither n nor what ran where shows in the bytes, and a part may be given again at any time.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from configs.errors import MachineError, Problem, UserError
from configs.loader import Loaded
from data_pipeline import documents_stage, filter_stage, shards_stage, splits
from data_pipeline.balance import balance_path
from data_pipeline.dedup import signatures
from data_pipeline.inputs import Listing
from data_pipeline.pool import Job
from data_pipeline.progress import Progress
from data_pipeline.run import Road, corpus_of
from data_pipeline.tokenize.codec import Codec
from data_pipeline.tokenizer_stage import TOKENIZER_PATH

PHASES = ("list", "documents", "decide", "shards")
DIVIDED = ("documents", "shards")

T = TypeVar("T")


def run_phase(loaded: Loaded, phase: str, part: str, progress: Progress) -> None:
    """Walks one phase, or its `part`, "i/n" with i from 0. UserError where the two do not go together."""
    index, parts = _parse(phase, part)
    with corpus_of(loaded, shared=phase in DIVIDED) as out:
        road = Road(loaded, out, progress)
        listing = road.inventory()
        if phase == "documents":
            mine = share(listing.units, lambda unit: unit.size, index, parts)
            road.read(road.jobs(mine))
        elif phase == "decide":
            road.clean(listing)
            if loaded.config.data.product == "shards":
                road.prepare(listing)
        elif phase == "shards":
            jobs = [job for job in road.jobs(listing.units) if _decided(job)]
            if loaded.config.data.product == "documents":
                _require(len(jobs), listing, "decisions", out)
                road.write_documents(share(jobs, lambda job: job.unit.size, index, parts))
                return
            lots = [splits.finished(job) for job in jobs]
            known = [found for found in lots if found is not None]
            _require(len(known), listing, "lots", out)
            if not (out / TOKENIZER_PATH).is_file():
                raise MachineError("there is no tokenizer", where=str(out), go_on=_BEFORE)
            codec = Codec.load(out / TOKENIZER_PATH)
            shards = shards_stage.plan_shards(loaded.config, out, listing.units, known, codec)
            road.write_shards(share(shards, lambda job: job.text_bytes, index, parts))


def _decided(job: Job) -> bool:
    """Whether a unit has been read and decided on under the settings as they are: older work is never written out."""
    phases = (documents_stage, filter_stage, signatures)
    return all(phase.finished(job) is not None for phase in phases) and balance_path(job.out, job.unit).exists()


_BEFORE = "`millrace data run CONFIG --phase decide` comes before this one"


def _require(found: int, listing: Listing, what: str, out: Path) -> None:
    if missing := len(listing.units) - found:
        raise MachineError(f"{missing} of {len(listing.units)} units have no {what}", where=str(out), go_on=_BEFORE)


def share(items: Sequence[T], size: Callable[[T], int], index: int, parts: int) -> list[T]:
    """Part `index` of `items` divided into `parts` of about equal sizes; in their order. The same on every machine.

    The largest item goes to the part that has least (Graham 1969, LPT rule: within 4/3 of the best).
    """
    loads = [(0, place) for place in range(parts)]
    mine = []
    for place in sorted(range(len(items)), key=lambda place: (-size(items[place]), place)):
        load, part = heapq.heappop(loads)
        heapq.heappush(loads, (load + size(items[place]) + 1, part))
        if part == index:
            mine.append(place)
    return [items[place] for place in sorted(mine)]


def _parse(phase: str, part: str) -> tuple[int, int]:
    if phase not in PHASES:
        raise UserError(Problem(f"there is no phase {phase!r}", "--phase", f"phases: {', '.join(PHASES)}"))
    if phase not in DIVIDED and part:
        raise UserError(Problem(f"phase {phase} has no parts", "--part", "leave --part out"))
    match = re.fullmatch(r"(\d+)/(\d+)", part or "0/1")
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(Problem(f"{part!r} is no part", "--part", "write i/n with i from 0 to n - 1, as 0/16"))
    return int(match[1]), int(match[2])
