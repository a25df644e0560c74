"""Bad words: lists in the form of LDNOOBW ("List of Dirty, Naughty, Obscene, and Otherwise Bad Words"), a file for
each language, one word or phrase a line. C4 (Raffel et al. 2020, 2.2) drops a page that holds any."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import Problem, UserError
from configs.schema.blocklists import BadWords
from data_pipeline.clean.rule import Rule
from data_pipeline.documents import portions

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("ahocorasick_rs",)
SIGNALS: tuple[str, ...] = ("bad_words", "bad_word_share")

RULES: tuple[Rule, ...] = (
    Rule("bad_words", "bad_words", "bad_words", None, "max_count", "Raffel et al. 2020 (C4), 2.2"),
    Rule("bad_word_share", "bad_word_share", "bad_words", None, "max_share", "Raffel et al. 2020 (C4), 2.2, per word"),
)

# Words are written without blanks: entries are found anywhere, but for Latin letters and digits at their ends.
_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue", "wuu"})
# Endings are written to the word: it must begin, and may go on.
_SUFFIXED = frozenset({"ko"})
_SAME_LIST = {"tl": "fil", "yue": "zh", "wuu": "zh", "nb": "no"}


def measure(texts: Sequence[str], languages: Sequence[str], config: BadWords) -> dict[str, np.ndarray]:
    """`bad_words`: occurrences of entries of the list of the text's language, as whole words, not counting one inside
    another; `bad_word_share`: the same per word (per character where words are written without blanks). float64
    [texts] each; NaN where neither the language nor `fallback` has a list."""
    counts = np.full(len(texts), np.nan)
    shares = np.full(len(texts), np.nan)
    lists = _lists(tuple(config.lists))
    for index, (text, code) in enumerate(zip(texts, languages, strict=True)):
        name = next((n for n in (code, _SAME_LIST.get(code, ""), config.fallback) if n in lists), None)
        if name is None:
            continue
        count = lists[name].count(text)
        counts[index] = count
        shares[index] = min(1.0, count / max(1, _words(text, name))) if count else 0.0
    return {"bad_words": counts, "bad_word_share": shares}


def files(config: BadWords) -> list[str]:
    """Every file that decides, in order."""
    return [str(path) for entry in config.lists for path in _expand(entry)]


def language(path: Path) -> str:
    """Of a list: its name, without an ending such as .txt."""
    return path.name.partition(".")[0]


def forget() -> None:
    """The lists are read again when they are next needed."""
    _lists.cache_clear()


def problems(config: BadWords) -> list[Problem]:
    """What is wrong with the lists."""
    if not config.enabled:
        return []
    if not config.lists:
        return [
            Problem("bad words are to be dropped, and no list is given", "clean.bad_words.lists", "name a directory")
        ]
    try:
        lists = _lists(tuple(config.lists))
    except UserError as error:
        return error.problems
    if config.fallback and config.fallback not in lists:
        hint = f"lists are there for {', '.join(sorted(lists))}" if lists else ""
        return [Problem(f"no list of bad words for {config.fallback!r}", "clean.bad_words.fallback", hint)]
    return []


class _List:
    def __init__(self, language: str, entries: set[str]) -> None:
        from ahocorasick_rs import AhoCorasick

        patterns = sorted(entries)
        self._search: Any = AhoCorasick(patterns)
        unspaced = language in _UNSPACED
        self._begins = [_bounded(pattern[0], unspaced) for pattern in patterns]
        self._ends = [language not in _SUFFIXED and _bounded(pattern[-1], unspaced) for pattern in patterns]
        self._continues = _latin if unspaced else _in_word

    def count(self, text: str) -> int:
        text = text.lower()
        found, done, continues = 0, 0, self._continues
        for index, start, end in self._search.find_matches_as_indexes(text, overlapping=True):
            if start < done or (self._begins[index] and start and continues(text[start - 1])):
                continue
            if self._ends[index] and end < len(text) and continues(text[end]):
                continue
            found, done = found + 1, end
        return found


def _bounded(character: str, unspaced: bool) -> bool:
    return _latin(character) if unspaced else _in_word(character)


def _in_word(character: str) -> bool:
    # Vowel signs of Indic scripts are marks, no letters.
    return (
        character.isalnum() or character == "_" or (character > "\u02ff" and unicodedata.category(character)[0] == "M")
    )


def _latin(character: str) -> bool:
    return character.isalnum() and character < "\u0250"


def _words(text: str, language: str) -> int:
    unspaced = language in _UNSPACED
    return sum(
        sum(map(len, words)) if unspaced else len(words) for words in (portion.split() for portion in portions(text))
    )


@cache
def _lists(entries: tuple[str, ...]) -> dict[str, _List]:
    words: dict[str, set[str]] = {}
    for entry in entries:
        try:
            for path in _expand(entry):
                lines = path.read_text("utf-8", "replace").splitlines()
                found = {unicodedata.normalize("NFC", line.strip().lower()) for line in lines} - {""}
                words.setdefault(language(path), set()).update(found)
        except OSError as error:
            raise UserError(Problem(f"cannot read the list: {error.strerror or error}", entry)) from None
    return {name: _List(name, found) for name, found in words.items() if found}


def _expand(entry: str) -> list[Path]:
    path = Path(entry).expanduser()
    if not path.is_dir():
        return [path]
    # Beside the lists lie a licence and a README: a language has a code of two or three letters.
    return sorted(
        found
        for found in path.iterdir()
        if found.is_file() and 2 <= len(name := language(found)) <= 3 and name.islower()
    )
