"""Words, lines and paragraphs of a text, each computed once and shared by all rules."""

from __future__ import annotations

import re
from functools import cached_property

RULE_VERSION = 1

_PARAGRAPH = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


class Segmentation:
    """words: runs of characters without white space, as in Gopher. lines: between line feeds, without the blank ones,
    stripped. paragraphs: between blank lines. Each is linear in the length of the text."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @cached_property
    def lines(self) -> list[str]:
        return [stripped for line in self.text.split("\n") if (stripped := line.strip())]

    @cached_property
    def paragraphs(self) -> list[str]:
        return [stripped for part in _PARAGRAPH.split(self.text) if (stripped := part.strip())]
