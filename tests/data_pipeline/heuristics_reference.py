"""The rules once more, in plain Python and by other means (str methods, dictionaries, slices): what the compiled loops
must equal."""

from __future__ import annotations

import math
import re
import unicodedata

import numpy as np

from data_pipeline.clean import characters
from data_pipeline.clean.stop_words import STOP_WORDS

CLASSES = characters.classes()


def has(character: str, flag: int) -> bool:
    return bool(CLASSES[ord(character)] & flag)


def symbol(character: str) -> bool:
    return unicodedata.category(character)[0] in "PSC"


def words_of(text: str) -> list[str]:
    """Runs without white space; in them, an unspaced letter begins a word, and so does another letter or digit behind
    one; what is no letter stays with what is before it, or with what it opens."""
    words = []
    for run in text.split():
        word = ""
        for character in run:
            letter = unicodedata.category(character)[0] in "LN"
            unspaced = has(character, characters.UNSPACED)
            core = any(unicodedata.category(c)[0] in "LN" for c in word)
            foreign = letter and any(has(c, characters.UNSPACED) for c in word)
            if word and ((unspaced and core) or (foreign and not unspaced)):
                words.append(word)
                word = ""
            word += character
        words.append(word)
    return words


def length_of(word: str) -> int:
    return sum(len(unicodedata.normalize("NFD", c)) if "가" <= c <= "힣" else 1 for c in word)


def bare(word: str) -> str:
    places = [place for place, c in enumerate(word) if not symbol(c)]
    return small(word[places[0] : places[-1] + 1]) if places else ""


def small(word: str) -> str:
    return "".join(c.lower() if ord(c) < 0x3000 and len(c.lower()) == 1 else c for c in word)


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def repeated(items: list[str], characters: float) -> tuple[float, float]:
    seen: set[str] = set()
    again = [item for item in items if item in seen or seen.add(item)]  # type: ignore[func-returns-value]
    return ratio(len(again), len(items)), ratio(sum(map(len, again)), characters)


def top_gram(words: list[str], apart: list[bool], n: int) -> int:
    counts: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(words) - n + 1):
        counts.setdefault(tuple(words[i : i + n]), []).append(i)
    if not counts:
        return 0
    gram, places = max(counts.items(), key=lambda item: len(item[1]))
    i = places[0]
    return (sum(map(len, gram)) + sum(apart[i + 1 : i + n])) * len(places)


def repeated_grams(words: list[str], n: int) -> int:
    seen, covered, i = set(), 0, 0
    while i + n <= len(words):
        gram = tuple(words[i : i + n])
        if gram in seen:
            covered += sum(map(len, gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return covered


def sentences(line: str) -> int:
    count, i, waiting, letters = 0, 0, False, 0
    while i < len(line):
        c = line[i]
        i += 1
        if has(c, characters.TERMINAL) and not (c == "." and letters == 1):
            wide = ord(c) > 127
            while i < len(line) and (has(line[i], characters.TERMINAL) or has(line[i], characters.CLOSING)):
                wide |= has(line[i], characters.TERMINAL) and ord(line[i]) > 127
                i += 1
            if waiting and (i == len(line) or wide or line[i].isspace()):
                count, waiting = count + 1, False
            letters = 0
        elif c.isspace():
            letters = 0
        else:
            waiting, letters = True, letters + 1 if c.isalpha() else 0
    return count + waiting


def ends_a_sentence(line: str) -> bool:
    bare = line.rstrip("".join(chr(code) for code in np.flatnonzero(CLASSES & characters.CLOSING))) or line
    return has(bare[-1], characters.TERMINAL) and (bare == line or ord(bare[-1]) > 127)


def signals(text: str, language: str = "en", short: int = 30) -> dict[str, float]:
    words = words_of(text)
    place, apart = 0, []
    for word in words:
        at = text.index(word, place)
        apart.append(at > place)
        place = at + len(word)
    proper = [word for word in words if not all(map(symbol, word))]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = re.sub(r"\n(\s*\n)+", "\0", "\n".join(line.strip() for line in text.split("\n")).replace("\0", "\1"))
    parts = [part for part in paragraphs.strip("\n").split("\0") if part.strip("\n")]
    letters = [c for c in text if c.isalpha()]
    listed = STOP_WORDS.get(language, "").split()
    found = {
        "unspaced_share": ratio(sum(has(c, characters.UNSPACED) for c in letters), len(letters)),
        "gopher_words": len(proper),
        "gopher_mean_word_length": ratio(sum(map(length_of, proper)), len(proper)),
        "gopher_hashes": text.count("#") / max(1, len(words)),
        "gopher_ellipses": (text.count("...") + text.count("…")) / max(1, len(words)),
        "gopher_bullet_lines": ratio(sum(has(line[0], characters.BULLET) for line in lines), len(lines)),
        "gopher_ellipsis_lines": ratio(sum(line.endswith(("...", "…")) for line in lines), len(lines)),
        "gopher_alphabetic_words": ratio(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "gopher_stop_words": len({bare(word) for word in words} & set(listed)) if listed else math.nan,
        "c4_sentences": sum(map(sentences, lines)),
        "fineweb_punctuated_lines": ratio(sum(map(ends_a_sentence, lines)), len(lines)),
        "fineweb_short_lines": ratio(sum(len(line) <= short for line in lines), len(lines)),
        "fineweb_duplicate_line_characters": repeated(lines, len(text) - text.count("\n"))[1],
        "fineweb_newlines_per_word": text.count("\n") / max(1, len(words)),
    }
    for kind, items in (("line", lines), ("paragraph", parts)):
        again, size = repeated(items, len(text))
        found |= {f"gopher_duplicate_{kind}s": again, f"gopher_duplicate_{kind}_characters": size}
    unspaced = [c for c in letters if has(c, characters.UNSPACED)]
    many = sum(any(has(c, characters.ALPHABETIC_UNSPACED) for c in word) for word in words)
    scale = 1 if 2 * len(unspaced) <= len(letters) else 4 if 2 * many > len(unspaced) else 2
    for n in (2, 3, 4):
        found[f"gopher_top_{n}gram_characters"] = ratio(top_gram(words, apart, scale * n), len(text))
    for n in range(5, 11):
        found[f"gopher_duplicate_{n}gram_characters"] = ratio(repeated_grams(words, scale * n), len(text))
    return {name: float(np.float64(value)) for name, value in found.items()}
