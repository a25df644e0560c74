"""Repetition rules of Gopher (Rae et al. 2021, appendix A.1.1, "Repetition removal", and table A1).

Shares of lines and of paragraphs that occurred before in the document, by number and by characters; characters in the most
frequent n-gram of words, n = 2 to 4, times how often it occurs; characters in repeated n-grams, n = 5 to 10, none counted
twice; all by characters of the document.
"""

from __future__ import annotations

from data_pipeline.clean.rule import Rule

_NAMES = (
    "duplicate_lines",
    "duplicate_paragraphs",
    "duplicate_line_characters",
    "duplicate_paragraph_characters",
    *(f"top_{n}gram_characters" for n in (2, 3, 4)),
    *(f"duplicate_{n}gram_characters" for n in range(5, 11)),
)

RULES: tuple[Rule, ...] = tuple(
    Rule(f"gopher_{name}", f"gopher_{name}", "gopher_repetition", None, f"max_{name}", "Rae et al. 2021, table A1")
    for name in _NAMES
)
