"""The account of a corpus: at every stage documents and bytes in, kept, and rejected by reason.

A count is `{"in": n, "kept": n, "rejected": {reason: n}}`; a stage is `{"name", "documents": count, "bytes": count}`.
Counts are summed over units, by source and in all. A stage that hands documents on more than once has
`"copies": {"documents": n, "bytes": n}`: what the next stage gets beyond what this one kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Count = dict[str, Any]
Stage = dict[str, Any]


def add(counts: Iterable[Mapping[str, Any]]) -> Count:
    """The sum of counts; reasons in alphabetical order."""
    result: Count = {"in": 0, "kept": 0, "rejected": {}}
    for count in counts:
        result["in"] += count["in"]
        result["kept"] += count["kept"]
        for reason, number in count["rejected"].items():
            result["rejected"][reason] = result["rejected"].get(reason, 0) + number
    result["rejected"] = dict(sorted(result["rejected"].items()))
    return result


def stage(name: str, results: Sequence[tuple[str, Mapping[str, Any]]]) -> Stage:
    """The account of one stage. results: (source, {"documents": count, "bytes": count, ...}) for each of its units."""
    sources = dict.fromkeys(source for source, _ in results)
    return {
        "name": name,
        **_sums([result for _, result in results]),
        "sources": {source: _sums([result for name_, result in results if name_ == source]) for source in sources},
    }


def _sums(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {what: add(result[what] for result in results) for what in ("documents", "bytes")}
    copies = [result["copies"] for result in results if "copies" in result]
    if copies:
        found["copies"] = {what: sum(mine[what] for mine in copies) for what in ("documents", "bytes")}
    return found


def handed_on(stage: Stage, what: str = "documents") -> int:
    """Documents or bytes that the next stage gets: those kept, with copies."""
    return int(stage[what]["kept"] + stage.get("copies", {}).get(what, 0))


def rejected(stage: Stage, what: str = "documents") -> int:
    """Documents or bytes that a stage rejected, whatever the reason."""
    return sum(stage[what]["rejected"].values())
