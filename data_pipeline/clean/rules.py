"""The table of rules, and the verdict on documents from their signals alone: no text is read.

The order of the table decides which reason is given for a document that several rules refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema.clean import Clean
from data_pipeline.clean import bad_words, c4, classifier, fineweb, gopher_quality, gopher_repetition, lines
from data_pipeline.clean.rule import Rule

RULE_VERSION = 1

UNSPACED = 0.5
"""Documents with a larger `unspaced_share` are out of the scope "spaced"."""

RULES: tuple[Rule, ...] = (
    *lines.RULES,
    *c4.RULES,
    *gopher_quality.RULES,
    *gopher_repetition.RULES,
    *fineweb.RULES,
    *bad_words.RULES,
)


def known(config: Clean) -> tuple[Rule, ...]:
    """All rules, switched on or off, in table order; those of classifiers last."""
    return (*RULES, *classifier.rules(config))


def in_force(config: Clean) -> tuple[Rule, ...]:
    """The rules of the sections that are enabled, in table order."""
    return tuple(rule for rule in known(config) if _section(rule, config).enabled)


def bounds(rule: Rule, config: Clean) -> tuple[float | None, float | None]:
    """Lowest and highest value kept; None: no bound."""
    section = _section(rule, config)
    low, high = (None if name is None else float(getattr(section, name)) for name in (rule.low, rule.high))
    return low, high


def _section(rule: Rule, config: Clean) -> Any:
    """The section that switches the rule and holds its thresholds: a field, or one of a list (`classifiers.0`)."""
    name, _, index = rule.section.partition(".")
    found = getattr(config, name)
    return found[int(index)] if index else found


def described(rule: Rule, config: Clean) -> str:
    """The bounds as they are configured, such as "min_words 50"."""
    named = [(name, value) for name, value in zip((rule.low, rule.high), bounds(rule, config), strict=True) if name]
    return ", ".join(f"{name} {value:g}" for name, value in named)


def thresholds(rule: Rule, config: Clean) -> dict[str, Any]:
    """All that decides what the rule refuses, as JSON."""
    low, high = bounds(rule, config)
    return {"reason": rule.reason, "signal": rule.signal, "low": low, "high": high, "scope": rule.scope}


def refuses(rule: Rule, signals: Mapping[str, np.ndarray], config: Clean) -> np.ndarray:
    """bool [documents]: whether this rule alone refuses. NaN (the signal says nothing of the document) is kept."""
    values = signals[rule.signal]
    low, high = bounds(rule, config)
    refused = np.zeros(len(values), np.bool_)
    if low is not None:
        refused |= values < low
    if high is not None:
        refused |= values > high
    if rule.scope == "spaced":
        refused &= ~(signals["unspaced_share"] > UNSPACED)
    return refused


def judge(signals: Mapping[str, np.ndarray], table: Sequence[Rule], config: Clean) -> tuple[np.ndarray, np.ndarray]:
    """signals: float64 [documents] each. Returns int16 [documents], the index in `table` of the first rule that refuses
    or -1 for what is kept, and float64 [documents], the value that rule measured or 0.

    Raises KeyError if a signal of a rule is missing."""
    documents = len(next(iter(signals.values()))) if signals else 0
    reasons = np.full(documents, -1, np.int16)
    values = np.zeros(documents, np.float64)
    for index, rule in enumerate(table):
        refused = refuses(rule, signals, config) & (reasons < 0)
        reasons[refused] = index
        values[refused] = signals[rule.signal][refused]
    return reasons, values
