"""Quality rules of Gopher (Rae et al. 2021, "Scaling Language Models", appendix A.1.1, "Quality filtering").

Each rule is a function of the segmented text that returns the value it measures; `RULES` names them with the bounds
from the configuration. Texts written without spaces (Chinese, Japanese, Thai) have few "words" by these rules, which
the paper applied to English alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from data_pipeline.clean.rule import Rule
from data_pipeline.clean.segmentation import Segmentation

RULE_VERSION = 1

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_BULLETS = ("•", "‣", "◦", "⁃", "●", "○", "▪", "■", "–", "-", "*", "·")
_ELLIPSES = ("...", "…")
_PUNCTUATION = "\"'.,;:!?()[]{}<>«»“”‘’-–—*_`"
_LETTER = re.compile(r"[^\W\d_]")


def words(text: Segmentation) -> float:
    """Number of words; the paper keeps 50 to 100,000."""
    return len(text.words)


def mean_word_length(text: Segmentation) -> float:
    """Mean number of characters per word; the paper keeps 3 to 10. 0 without words."""
    return sum(map(len, text.words)) / len(text.words) if text.words else 0.0


def hash_ratio(text: Segmentation) -> float:
    """Hash signs per word; the paper keeps up to 0.1."""
    return text.text.count("#") / max(1, len(text.words))


def ellipsis_ratio(text: Segmentation) -> float:
    """Ellipses (three dots, or the character) per word; the paper keeps up to 0.1."""
    return sum(map(text.text.count, _ELLIPSES)) / max(1, len(text.words))


def bullet_lines(text: Segmentation) -> float:
    """Share of the lines that start with a bullet point; the paper keeps up to 0.9."""
    return _share(text.lines, lambda line: line.startswith(_BULLETS))


def ellipsis_lines(text: Segmentation) -> float:
    """Share of the lines that end with an ellipsis; the paper keeps up to 0.3."""
    return _share(text.lines, lambda line: line.endswith(_ELLIPSES))


def alphabetic_words(text: Segmentation) -> float:
    """Share of the words that hold at least one letter (of any script); the paper keeps from 0.8."""
    search = _LETTER.search
    return sum(1 for word in text.words if word.isalpha() or search(word)) / len(text.words) if text.words else 0.0


def stop_words(text: Segmentation) -> float:
    """How many different ones of `STOP_WORDS` occur, whatever their case, with punctuation around them or not; the
    paper keeps texts with at least 2."""
    found: set[str] = set()
    for word in text.words:
        # The longest of them has four letters; punctuation may stand on both sides.
        if len(word) <= 8 and (bare := word.strip(_PUNCTUATION).lower()) in STOP_WORDS:
            found.add(bare)
            if len(found) == len(STOP_WORDS):
                break
    return len(found)


_SOURCE = "Rae et al. 2021, A.1.1"

RULES: tuple[Rule, ...] = (
    Rule("gopher_words_few", "gopher_words", "gopher_quality", "min_words", None, _SOURCE),
    Rule("gopher_words_many", "gopher_words", "gopher_quality", None, "max_words", _SOURCE),
    Rule(
        "gopher_word_length_short", "gopher_mean_word_length", "gopher_quality", "min_mean_word_length", None, _SOURCE,
        scope="spaced",
    ),
    Rule(
        "gopher_word_length_long", "gopher_mean_word_length", "gopher_quality", None, "max_mean_word_length", _SOURCE,
        scope="spaced",
    ),
    Rule("gopher_hashes", "gopher_hashes", "gopher_quality", None, "max_symbol_word_ratio", _SOURCE),
    Rule("gopher_ellipses", "gopher_ellipses", "gopher_quality", None, "max_symbol_word_ratio", _SOURCE),
    Rule("gopher_bullet_lines", "gopher_bullet_lines", "gopher_quality", None, "max_bullet_lines", _SOURCE),
    Rule("gopher_ellipsis_lines", "gopher_ellipsis_lines", "gopher_quality", None, "max_ellipsis_lines", _SOURCE),
    Rule("gopher_alphabetic_words", "gopher_alphabetic_words", "gopher_quality", "min_alphabetic_words", None, _SOURCE),
    Rule(
        "gopher_stop_words", "gopher_stop_words", "gopher_quality", "min_stop_words", None, _SOURCE, scope="spaced"
    ),
)  # fmt: skip

SIGNALS: dict[str, Callable[[Segmentation], float]] = {
    "gopher_words": words,
    "gopher_mean_word_length": mean_word_length,
    "gopher_hashes": hash_ratio,
    "gopher_ellipses": ellipsis_ratio,
    "gopher_bullet_lines": bullet_lines,
    "gopher_ellipsis_lines": ellipsis_lines,
    "gopher_alphabetic_words": alphabetic_words,
    "gopher_stop_words": stop_words,
}


def _share(lines: list[str], holds: Callable[[str], bool]) -> float:
    return sum(1 for line in lines if holds(line)) / len(lines) if lines else 0.0
