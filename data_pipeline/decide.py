"""Deciding again: other thresholds on what was measured, without reading a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import MachineError
from configs.loader import Loaded
from data_pipeline import documents_stage, filter_stage
from data_pipeline.account import Count, add
from data_pipeline.clean import rules
from data_pipeline.inputs import list_inputs
from data_pipeline.output import read_summary
from data_pipeline.pool import Job, run_units
from data_pipeline.progress import Progress
from data_pipeline.run import corpus_of


@dataclass(frozen=True)
class RuleCount:
    """What one rule does. bounds: as text. refused: documents it refuses, whichever rule did so first; of a rule that is
    off, what it would. only: of those, documents that would be kept without it."""

    reason: str
    enabled: bool
    bounds: str
    refused: int
    only: int


@dataclass(frozen=True)
class Decision:
    """The verdicts on a whole corpus. before: documents kept until now; None where nothing was decided yet."""

    documents: Count
    bytes: Count
    before: int | None
    rules: list[RuleCount]
    written: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {**vars(self), "rules": [vars(rule) for rule in self.rules]}

    def text(self) -> str:
        """A line of sums, and a table of rules."""
        total, kept = self.documents["in"], self.documents["kept"]
        share = f" ({kept / total:.1%})" if total else ""
        change = "" if self.before is None else f"; {self.before:,} until now"
        lines = [f"{total:,} documents measured, {kept:,} kept{share}{change}", ""]
        head = ("rule", "kept within", "refuses", "no other rule does")
        rows = [
            (
                rule.reason,
                rule.bounds if rule.enabled else f"{rule.bounds} (off)",
                f"{rule.refused:,}",
                f"{rule.only:,}",
            )
            for rule in self.rules
        ]
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(4)]
        for row in (head, *rows):
            cells = [*(f"{row[i]:<{widths[i]}}" for i in (0, 1)), *(f"{row[i]:>{widths[i]}}" for i in (2, 3))]
            lines.append("  ".join(cells).rstrip())
        end = "the next `millrace data run` goes on from these verdicts" if self.written else "nothing was written"
        return "\n".join([*lines, "", end])


def decide(loaded: Loaded, progress: Progress, dry_run: bool) -> Decision:
    """Verdicts on every document measured by an earlier run, written unless it is a dry run.

    UserError: problems of the configuration. MachineError: documents of a unit are missing, or were made under settings
    that decide texts and have changed since. TryLater: a run is writing there.
    """
    config = loaded.config
    with corpus_of(loaded) as out:
        units = list_inputs(config, out / "work" / "hashes.json", progress).units
        jobs = [Job(config, out, unit) for unit in units]
        missing = [job for job in jobs if documents_stage.finished(job) is None]
        if missing:
            raise MachineError(
                f"{len(missing):,} of {len(jobs):,} units have no documents measured under these settings",
                where=f"{out}, the first: {missing[0]}",
                go_on="`millrace data run CONFIG` reads them; what decides texts, not thresholds, cannot change here",
            )
        before = _kept_before(out, jobs)
        function = filter_stage.preview if dry_run else filter_stage.process
        found = run_units(
            "filter", jobs, function, config.data.workers, (lambda _: None) if dry_run else filter_stage.finished,
            lambda job: job.unit.size, progress,
        )  # fmt: skip
    return Decision(
        add(summary["documents"] for summary in found),
        add(summary["bytes"] for summary in found),
        before,
        _rules(loaded, found),
        not dry_run,
    )


def _kept_before(out: Path, jobs: list[Job]) -> int | None:
    try:
        summaries = [read_summary(filter_stage.verdicts_path(out, job.unit)) for job in jobs]
    except MachineError:
        return None
    return sum(summary["documents"]["kept"] for summary in summaries)


def _rules(loaded: Loaded, found: list[dict[str, Any]]) -> list[RuleCount]:
    clean = loaded.config.clean
    enabled = {rule.reason for rule in rules.in_force(clean)}
    bounds = {filter_stage.LANGUAGE: f"{', '.join(clean.languages)} from {clean.min_language_score:g}"}
    bounds |= {rule.reason: rules.described(rule, clean) for rule in rules.known(clean)}
    if clean.languages:
        enabled.add(filter_stage.LANGUAGE)
    else:
        del bounds[filter_stage.LANGUAGE]
    measured = {reason for summary in found for reason in summary["rules"]}
    bounds = {reason: text for reason, text in bounds.items() if reason in measured}
    counts = {
        reason: [sum(summary["rules"].get(reason, {}).get(key, 0) for summary in found) for key in ("refused", "only")]
        for reason in bounds
    }
    return [RuleCount(reason, reason in enabled, text, *counts[reason]) for reason, text in bounds.items()]
