"""Quality rules of Gopher (Rae et al. 2021, "Scaling Language Models", appendix A.1.1, "Quality filtering").

Each rule is a function of the segmented text that returns the value it measures; `RULES` names them with the bounds
from the configuration. Texts written without spaces (Chinese, Japanese, Thai) have few "words" by these rules, which
the paper applied to English alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from configs.schema.rules import GopherQuality
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


@dataclass(frozen=True)
class Rule:
    """reason: under which a text is rejected. measure: the value. low, high: it is kept within, both included; None:
    no bound on that side."""

    reason: str
    measure: Callable[[Segmentation], float]
    low: Callable[[GopherQuality], float] | None = None
    high: Callable[[GopherQuality], float] | None = None


RULES: tuple[Rule, ...] = (
    Rule("gopher_words_few", words, low=lambda c: c.min_words),
    Rule("gopher_words_many", words, high=lambda c: c.max_words),
    Rule("gopher_word_length_short", mean_word_length, low=lambda c: c.min_mean_word_length),
    Rule("gopher_word_length_long", mean_word_length, high=lambda c: c.max_mean_word_length),
    Rule("gopher_hashes", hash_ratio, high=lambda c: c.max_symbol_word_ratio),
    Rule("gopher_ellipses", ellipsis_ratio, high=lambda c: c.max_symbol_word_ratio),
    Rule("gopher_bullet_lines", bullet_lines, high=lambda c: c.max_bullet_lines),
    Rule("gopher_ellipsis_lines", ellipsis_lines, high=lambda c: c.max_ellipsis_lines),
    Rule("gopher_alphabetic_words", alphabetic_words, low=lambda c: c.min_alphabetic_words),
    Rule("gopher_stop_words", stop_words, low=lambda c: c.min_stop_words),
)


def judge(text: Segmentation, config: GopherQuality) -> tuple[str, float] | None:
    """Reason and measured value of the first rule that refuses the text; None if all keep it."""
    for rule in RULES:
        value = rule.measure(text)
        if rule.low is not None and value < rule.low(config):
            return rule.reason, value
        if rule.high is not None and value > rule.high(config):
            return rule.reason, value
    return None


def _share(lines: list[str], holds: Callable[[str], bool]) -> float:
    return sum(1 for line in lines if holds(line)) / len(lines) if lines else 0.0
