"""One rule: a signal, and the bounds within which a document is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["all", "spaced"]


@dataclass(frozen=True)
class Rule:
    """reason: under which a document is rejected. signal: what was measured (`heuristics.SIGNALS` and others).
    section: field of `config.clean` whose `enabled` switches the rule. low, high: names of that section's thresholds;
    the signal is kept within, both included; None: no bound on that side. source: paper, section or table. scope:
    "spaced" is not applied to documents mostly in scripts written without blanks between words (`unspaced_share`)."""

    reason: str
    signal: str
    section: str
    low: str | None
    high: str | None
    source: str
    scope: Scope = "all"
