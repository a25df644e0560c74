"""What encoding a page declares in its first bytes, read without decoding it (HTML standard, 13.2.3.2, "prescan a byte
stream to determine its encoding")."""

from __future__ import annotations

import re
from collections.abc import Iterator

WITHIN = 16_384
"""Bytes that are looked at. A browser's prescan ends at 1,024 and its parser finds later declarations; here one scan
does both."""

ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*([^\t\n\f\r />][^\t\n\f\r />=]*)"
    rb"(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([\"'])|([^\t\n\f\r >\"'][^\t\n\f\r >]*)|))?"
)
"""One attribute: name, then its value in double quotes, in single quotes, in quotes that never end, or bare."""
TAG_END = re.compile(rb"[^\t\n\f\r />]*")
"""The rest of a tag's name."""

_TAG = re.compile(rb"</?[a-zA-Z]")
_META = re.compile(rb"<meta(?=[\t\n\f\r /])", re.IGNORECASE)
_CHARSET = re.compile(
    rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"'][^\t\n\f\r ;]*))", re.I
)


def prescan(data: bytes) -> Iterator[str]:
    """The labels that `meta` elements in the first `WITHIN` bytes declare, in their order: the first that names an
    encoding counts."""
    head = data[:WITHIN]
    at = 0
    while (at := head.find(b"<", at)) >= 0:
        if head.startswith(b"<!--", at):
            end = head.find(b"-->", at + 2)
            if end < 0:
                return
            at = end + 3
        elif meta := _META.match(head, at):
            label, end = _declared(head, meta.end())
            if label:
                yield label
            if end < 0:
                return
            at = end
        elif _TAG.match(head, at):
            at = TAG_END.match(head, at + 1).end()  # type: ignore[union-attr]  # it matches the empty string
            while (attribute := ATTRIBUTE.match(head, at)) is not None:
                if attribute[4]:
                    return
                at = attribute.end()
        elif head[at + 1 : at + 2] in (b"!", b"/", b"?"):
            end = head.find(b">", at)
            if end < 0:
                return
            at = end
        else:
            at += 1


def _declared(head: bytes, at: int) -> tuple[str, int]:
    """The label that the attributes from `at` on declare, and where they end; -1 where they do not."""
    seen: set[bytes] = set()
    label = ""
    needs_pragma: bool | None = None
    pragma = False
    while (attribute := ATTRIBUTE.match(head, at)) is not None:
        name, double, single, endless, bare = attribute.groups()
        if endless:
            return "", -1
        at = attribute.end()
        name = name.lower()
        if name in seen:
            continue
        seen.add(name)
        value = double or single or bare or b""
        if name == b"http-equiv":
            pragma = value.lower() == b"content-type"
        elif name == b"content" and not label:
            label = _charset_in(value)
            needs_pragma = True if label else needs_pragma
        elif name == b"charset":
            label, needs_pragma = value.decode("latin-1"), False
    if at >= len(head) or needs_pragma is None or (needs_pragma and not pragma):
        return "", at
    return label, at


def _charset_in(content: bytes) -> str:
    found = _CHARSET.search(content)
    return (found[1] or found[2] or found[3] or b"").decode("latin-1") if found else ""
