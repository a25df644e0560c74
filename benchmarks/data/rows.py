"""The rows of `millrace bench data`: what each measures, what it must reach, and what it is compared with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.data.archive import warc_auto, warc_fast
from benchmarks.data.inputs import Inputs
from benchmarks.data.measure import MEGA, Measured, Say
from benchmarks.data.text_rules import heuristics, language_id, pii
from benchmarks.data.whole_pass import whole_pass
from benchmarks.results import Result

UNITS = {"html": "MB of HTML per CPU-second", "text": "MB of text per CPU-second"}
MAX_MEMORY_MB = 400.0
MIN_SPEEDUP = 1.8


@dataclass(frozen=True)
class Row:
    """measure: (inputs, seconds per repetition, repetitions, progress). of: what its bytes are. bar: least MB per
    processor second. times_peer: least ratio to the peer, 0 for none. peer: its step in `datatrove_steps`."""

    name: str
    measure: Callable[[Inputs, float, int, Say], Measured]
    of: str
    bar: float
    peer: str
    times_peer: float = 0.0


ROWS = (
    Row("warc_fast", warc_fast, "html", 10, "warc", 15),
    Row("warc_auto", warc_auto, "html", 2, "warc"),
    Row("heuristics", heuristics, "text", 5, "heuristics", 15),
    Row("language_id", language_id, "text", 10, "language_id"),
    Row("pii", pii, "text", 15, "pii"),
    Row("whole_pass", whole_pass, "text", 2.2, "whole_pass"),
)


@dataclass(frozen=True)
class Outcome:
    """One row, measured. peer: what `peers.environment.measure` found, {} where it was not asked."""

    row: Row
    measured: Measured
    peer: dict[str, Any]

    @property
    def result(self) -> Result:
        return Result(
            self.row.name,
            self.measured.rate,
            UNITS[self.row.of],
            self.measured.cpu_seconds,
            self.peer.get("peer"),
            self.peer.get("rate"),
        )

    @property
    def checks(self) -> dict[str, bool | None]:
        """What must hold, and whether it does; None where it could not be judged."""
        found: dict[str, bool | None] = {f">= {self.row.bar:g} MB/s": self.measured.rate >= self.row.bar}
        if self.row.times_peer:
            ratio = self.result.ratio
            found[f">= {self.row.times_peer:g} x datatrove"] = None if ratio is None else ratio >= self.row.times_peer
        if "memory_mb" in self.measured.more:
            found[f"< {MAX_MEMORY_MB:g} MB per worker"] = max(self.measured.more["memory_mb"].values()) < MAX_MEMORY_MB
            speedup = self.measured.more["workers_2"]["speedup"]
            found[f"2 workers >= {MIN_SPEEDUP:g} x 1"] = None if speedup is None else speedup >= MIN_SPEEDUP
        return found

    @property
    def details(self) -> dict[str, Any]:
        """What stands beside the result in the JSON."""
        return {
            "bytes": self.measured.bytes,
            "rates": self.measured.rates,
            **self.measured.more,
            "checks": self.checks,
            "peer": {name: value for name, value in self.peer.items() if name not in ("peer", "rate")},
        }


def run(rows: Sequence[Row], inputs: Inputs, peers: bool, seconds: float, repeats: int, say: Say) -> list[Outcome]:
    """Measures the rows in turn, each with its peer right after it. MachineError where a process of a row fails."""
    outcomes: list[Outcome] = []
    known: dict[str, dict[str, Any]] = {}
    for row in rows:
        say(f"{row.name}: begins")
        measured = row.measure(inputs, seconds, repeats, lambda line, name=row.name: say(f"  {name}: {line}"))  # type: ignore[misc]
        if peers and row.peer not in known:
            known[row.peer] = _peer(row, inputs, measured, repeats)
        outcomes.append(Outcome(row, measured, known.get(row.peer, {})))
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """For people: figures, bars, peers, and whether each bar is reached."""
    rows = [["row", "MB/CPU-s", "bar", "datatrove", "ratio", "bar", ""]]
    for outcome in outcomes:
        result, row = outcome.result, outcome.row
        rows.append(
            [
                row.name,
                f"{result.value:.2f}",
                f"{row.bar:g}",
                "-" if result.peer_value is None else f"{result.peer_value:.3g}",
                "-" if result.ratio is None else f"{result.ratio:.1f}",
                f"{row.times_peer:g}" if row.times_peer else "-",
                _mark(outcome.checks),
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(c.ljust(w) if i in (0, 6) else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += ["", "MB per second of processor time (user and system, child processes included); WARC rows: MB of HTML."]
    for outcome in outcomes:
        lines += [f"  {outcome.row.name}: {line}" for line in _told(outcome)]
    return "\n".join(line.rstrip() for line in lines)


def conditions(
    outcomes: Sequence[Outcome], inputs: Inputs, seconds: float, repeats: int, load: float
) -> dict[str, Any]:
    """What the JSON says beside the results. load: runnable processes, the average of the minute before the start."""
    return {
        "inputs": inputs.described,
        "repetitions": repeats,
        "seconds_per_repetition": seconds,
        "load_average": {"before": load, "after": os.getloadavg()[0]},
        "details": {outcome.row.name: outcome.details for outcome in outcomes},
        "rows": {row.name: {key: v for key, v in asdict(row).items() if key != "measure"} for row in ROWS},
    }


def _peer(row: Row, inputs: Inputs, measured: Measured, repeats: int) -> dict[str, Any]:
    from benchmarks.peers.environment import measure
    from data_pipeline.clean import language

    path = inputs.crawl if row.of == "html" else inputs.lines
    size = ["--bytes", str(measured.bytes)] if row.of == "html" else []
    # Their own model would be downloaded: they get the one that our row uses.
    return measure(row.peer, path, repeats, [*size, "--model", str(_installed_model(language))])


def _installed_model(language: Any) -> Path:
    return Path(language._path(""))


def _mark(checks: dict[str, bool | None]) -> str:
    if not all(checks.values()) and any(value is False for value in checks.values()):
        return "FAIL"
    return "pass" if all(checks.values()) else "pass, not all judged"


def _told(outcome: Outcome) -> list[str]:
    marks = {True: "pass", False: "FAIL", None: "not judged"}
    lines = [", ".join(f"{what}: {marks[value]}" for what, value in outcome.checks.items())]
    more = outcome.measured.more
    if "memory_mb" in more:
        peaks = ", ".join(f"{mb:.0f} MB on {int(size) / MEGA:.0f} MB of text" for size, mb in more["memory_mb"].items())
        two = more["workers_2"]
        lines.append(f"anonymous memory of a worker at most {peaks}")
        wall = f"{two['speedup']:.2f}" if two["speedup"] is not None else "not judged (others were at work)"
        lines.append(f"two workers to one: {wall} on the wall, {two['by_cpu']:.2f} by processor time")
    return lines
