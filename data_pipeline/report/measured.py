"""Sections on what was measured: the rules with what other thresholds would keep, and lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping

from configs.schema.clean import Clean
from data_pipeline import spread
from data_pipeline.clean import rules
from data_pipeline.clean.rule import Rule
from data_pipeline.report import page
from data_pipeline.report.page import escaped
from data_pipeline.report.view import Measured

_FACTORS = (0.25, 0.5, 0.75, 1.33, 2.0, 4.0)


def thresholds(measured: Measured, clean: Clean) -> str:
    """Every rule: how its signal spreads, what it refuses, and how many documents each threshold would keep."""
    tables = []
    for enabled, title in ((True, "Rules in force"), (False, "Rules that are off")):
        rows = [
            _rule(rule, measured, clean)
            for rule in rules.known(clean)
            if (rule in rules.in_force(clean)) == enabled and rule.signal in measured.spreads
        ]
        if rows:
            head = [
                "rule and its source",
                "spread of the values",
                "kept within",
                "refuses",
                "it alone",
                "other thresholds would keep",
            ]
            tables.append(f'<div class="panel rules"><h3>{title}</h3>{page.table(head, rows, (3, 4), (1,))}</div>')
    note = (
        "<p class='soft'>Of all documents measured, each rule by itself. It alone: documents that no other rule in force"
        " refuses. Values grow to the right, sixteen columns to each power of two; coloured is what the rule refuses."
        " Decide again without reading a text: <span class='mono'>millrace data decide CONFIG clean.SECTION.THRESHOLD=..."
        "</span></p>"
    )
    return f"<h2>Rules and thresholds</h2>{note}{''.join(tables)}" if tables else ""


def _rule(rule: Rule, measured: Measured, clean: Clean) -> list[str]:
    found = measured.spreads[rule.signal]
    low, high = rules.bounds(rule, clean)
    counts = measured.rules.get(rule.reason, {"refused": 0, "only": 0})
    name = f"{escaped(rule.reason.replace('_', ' ')).replace(' ', '&nbsp;')}<br><span class='soft'>{escaped(rule.source)}</span>"
    return [
        name,
        _chart(found, low, high),
        escaped(rules.described(rule, clean)),
        f"{counts['refused']:,}",
        f"{counts['only']:,}",
        "".join(f"<span class='cell'>{other}</span>" for other in _others(found, low, high)),
    ]


def _others(found: Mapping[str, int], low: float | None, high: float | None) -> list[str]:
    """The share of documents that the bound would keep at other values: those at which the count is exact."""
    total = sum(found.values())
    borders = spread.below(found)
    bound, least = (low, True) if low is not None else (high, False)
    if bound is None or not total:
        return []
    chosen: dict[float, int] = {}
    for wanted in [bound * factor for factor in _FACTORS] if bound else [0.01, 0.05, 0.2, 1]:
        if wanted < borders[0][0] or wanted > borders[-1][0] * 1.06:
            continue
        value, less = min(borders, key=lambda row: abs(row[0] - wanted))
        chosen[value] = total - less if least else less + found.get("nan", 0)
    word = "from" if least else "below"
    return [f"<b>{kept / total:.1%}</b> {word} {value:.3g}" for value, kept in sorted(chosen.items())]


def _chart(found: Mapping[str, int], low: float | None, high: float | None) -> str:
    """Columns by value, on a scale of powers; zero, where it occurs, stands apart at the left."""
    buckets = {int(name): count for name, count in found.items() if name not in ("nan", "neg", "zero")}
    zero = found.get("zero", 0) + found.get("neg", 0)
    bars = []
    if zero:
        bars.append((zero, low is not None and low > 0))
        bars.append((0, False))
    if buckets:
        first, last = min(buckets), max(buckets)
        step = math.ceil((last - first + 1) / 60)
        for start in range(first, last + 1, step):
            middle = spread.border(start + step // 2)
            count = sum(buckets.get(bucket, 0) for bucket in range(start, start + step))
            bars.append((count, (low is not None and middle < low) or (high is not None and middle > high)))
    return page.spark(bars)


def lengths(measured: Measured) -> str:
    """Documents by bytes of text, in powers of two."""
    counts: dict[int, int] = {}
    for name, count in measured.spreads.get("bytes", {}).items():
        if name not in ("nan", "neg", "zero"):
            power = (int(name)) // 16 - 1
            counts[power] = counts.get(power, 0) + count
    if not counts:
        return ""
    span = range(min(counts), max(counts) + 1)
    chart = page.histogram([counts.get(power, 0) for power in span], [_size(power) for power in span])
    title = "All documents measured, by bytes of text; each column from its label to the next"
    return f'<h2>Length of texts</h2><div class="panel rules"><h3>{title}</h3>{chart}</div>'


def _size(power: int) -> str:
    value = 2**power
    for unit, name in ((30, "G"), (20, "M"), (10, "k")):
        if power >= unit:
            return f"{value >> unit}{name}"
    return str(value)
