"""Who is kept: documents and text by language, domain and source, each share beside that of the whole corpus. A rule made
for one kind of text may empty another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data_pipeline.progress import amount
from data_pipeline.report import page
from data_pipeline.report.page import escaped, shown
from data_pipeline.report.view import Measured, View

_ROWS = 20
_NAME_LIMIT = 80
_ENOUGH = 20
"""Documents below which a share says nothing: of two, none is kept by chance."""


@dataclass(frozen=True)
class Group:
    """Documents that came in, that the rules keep, that are kept in the end, and bytes of text of these. exact: else at
    least so many."""

    name: str
    read: int
    kept: int
    end: int
    text: int
    exact: bool = True


def tables(seen: View) -> str:
    """All three, as far as they are known."""
    found = [_sources(seen)]
    if seen.measured is not None:
        found = [_languages(seen.measured), _domains(seen.measured), *found]
    panels = "".join(found)
    if not panels:
        return ""
    note = (
        "<p class='soft'>Read: documents that were measured. Kept in the end: after deduplication and caps, each once. "
        f"Marked: of {_ENOUGH} documents or more, less than half the share that the corpus keeps as a whole.</p>"
    )
    return f"<h2>Languages, domains and sources</h2>{note}{panels}"


def _languages(measured: Measured) -> str:
    groups = [
        Group(name, count["in"], count["kept"], count.get("end", 0), count.get("bytes_end", 0))
        for name, count in measured.languages.items()
    ]
    return _table("language", "none found", groups, _sum("", groups))


def _domains(measured: Measured) -> str:
    found = measured.domains
    top = [Group(row.domain, *_figures(row.counts), exact=row.exact) for row in found.top(_ROWS)]
    # What is shown as "at least" may have its rest among the others.
    return _table("domain", "no host", top, Group("", *_figures(found.totals)), "all others")


def _figures(counts: Sequence[int]) -> tuple[int, int, int, int]:
    """counts: of documents, of those kept by the rules, of bytes, of those kept, then what `balance` counts."""
    padded = [*counts, *[0] * (6 - len(counts))]
    return padded[0], padded[1], padded[4], padded[5]


def _sources(seen: View) -> str:
    stages = {stage["name"]: stage for stage in seen.stages}
    last = stages.get("balance", stages.get("dedup"))
    if last is None or "filter" not in stages:
        return ""
    groups = [
        Group(
            name,
            found["documents"]["in"],
            found["documents"]["kept"],
            last["sources"][name]["documents"]["kept"],
            last["sources"][name]["bytes"]["kept"],
        )
        for name, found in stages["filter"]["sources"].items()
    ]
    return _table("source", "", groups, _sum("", groups))


def _table(kind: str, unnamed: str, groups: Sequence[Group], whole: Group, others: str = "") -> str:
    """groups: all, or the largest of them; whole: the sum of all."""
    largest = sorted(groups, key=lambda group: (-group.read, group.name))
    top, rest = largest[:_ROWS], largest[_ROWS:]
    rows = [_row(group, whole, shown(group.name, _NAME_LIMIT) if group.name else unnamed) for group in top]
    left = Group(
        "",
        whole.read - sum(group.read for group in top),
        whole.kept - sum(group.kept for group in top),
        whole.end - sum(group.end for group in top),
        whole.text - sum(group.text for group in top),
    )
    if left.read > 0:
        rows.append(_row(left, whole, others or f"{len(rest):,} others"))
    if not rows:
        return ""
    head = [kind, "", "read", "kept by the rules", "in the end", "share kept", "text", "of all text"]
    return f'<div class="panel groups">{page.table(head, rows, range(2, len(head)), (1,))}</div>'


def _row(group: Group, whole: Group, name: str) -> list[str]:
    least = "" if group.exact else "at least "
    share = f"{group.end / group.read:.1%}" if group.read else ""
    if group.read >= _ENOUGH and group.end * whole.read * 2 < whole.end * group.read:
        share = f'<span class="tag gone">below half</span> {share}'
    return [
        name,
        page.bar(group.end, group.read - group.end, group.read),
        *(f"{least}{number:,}" for number in (group.read, group.kept, group.end)),
        share,
        escaped(f"{least}{amount(group.text)}"),
        f"{group.text / whole.text:.1%}" if whole.text else "",
    ]


def _sum(name: str, groups: Iterable[Group]) -> Group:
    rows = [(group.read, group.kept, group.end, group.text) for group in groups]
    return Group(name, *(sum(column) for column in zip(*rows, strict=True))) if rows else Group(name, 0, 0, 0, 0)
