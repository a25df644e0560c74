"""Rules of FineWeb (Penedo et al. 2024, "The FineWeb datasets", section 3.5).

The paper removes documents with a share of lines ending with punctuation of at most 0.12, of characters in duplicated
lines of at least 0.1, or of lines shorter than 30 characters of at least 0.67. The code published with it (datatrove) has
0.01 for duplicated lines, counts lines of exactly 30 characters as short, and also bounds line feeds per word by 0.3,
which the paper does not name. Here a value that equals a bound is kept, and quotation marks and brackets that close
behind punctuation beyond ASCII (。”) are passed over; behind a full stop of ASCII they hide it, as in that code.
"""

from __future__ import annotations

from data_pipeline.clean.rule import Rule

_SOURCE = "Penedo et al. 2024, 3.5"

RULES: tuple[Rule, ...] = (
    Rule("fineweb_punctuated_lines", "fineweb_punctuated_lines", "fineweb", "min_punctuated_lines", None, _SOURCE),
    Rule("fineweb_short_lines", "fineweb_short_lines", "fineweb", None, "max_short_lines", _SOURCE),
    Rule(
        "fineweb_duplicate_line_characters",
        "fineweb_duplicate_line_characters",
        "fineweb",
        None,
        "max_duplicate_line_characters",
        _SOURCE,
    ),
    Rule(
        "fineweb_newlines_per_word",
        "fineweb_newlines_per_word",
        "fineweb",
        None,
        "max_newlines_per_word",
        "datatrove, the code of Penedo et al. 2024",
    ),
)
