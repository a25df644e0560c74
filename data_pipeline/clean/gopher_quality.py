"""Quality rules of Gopher (Rae et al. 2021, "Scaling Language Models", appendix A.1.1, "Quality filtering").

The paper: between 50 and 100,000 words; a mean word length of 3 to 10 characters; a symbol-to-word ratio up to 0.1 for hash
signs and for ellipses; at most 90 % of lines starting with a bullet point, at most 30 % ending with an ellipsis; a letter
in at least 80 % of words; at least two of eight stop words.

What the paper leaves open: words of bare punctuation are counted among words only where symbols and letters are set
against them; a Hangul syllable counts as its two or three letters in the mean length; stop words are counted once each,
whatever their case and the punctuation around them, from the list of the document's language (`stop_words`), and a
document of a language without a list is kept. The two rules on the form of words do not apply to scripts without words.
"""

from __future__ import annotations

from data_pipeline.clean.rule import Rule, Scope

_SECTION = "gopher_quality"


def _rule(reason: str, signal: str, low: str | None, high: str | None, scope: Scope = "all") -> Rule:
    return Rule(f"gopher_{reason}", f"gopher_{signal}", _SECTION, low, high, "Rae et al. 2021, A.1.1", scope)


RULES: tuple[Rule, ...] = (
    _rule("words_few", "words", "min_words", None),
    _rule("words_many", "words", None, "max_words"),
    _rule("word_length_short", "mean_word_length", "min_mean_word_length", None, "spaced"),
    _rule("word_length_long", "mean_word_length", None, "max_mean_word_length", "spaced"),
    _rule("hashes", "hashes", None, "max_symbol_word_ratio"),
    _rule("ellipses", "ellipses", None, "max_symbol_word_ratio"),
    _rule("bullet_lines", "bullet_lines", None, "max_bullet_lines"),
    _rule("ellipsis_lines", "ellipsis_lines", None, "max_ellipsis_lines"),
    _rule("alphabetic_words", "alphabetic_words", "min_alphabetic_words", None),
    _rule("stop_words", "stop_words", "min_stop_words", None, "spaced"),
)
