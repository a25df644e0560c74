"""Lines that C4 and RefinedWeb would remove or edit: found in one scan of each document, and taken out.

The sources are stated with the rules that follow from them, in `c4` and `lines`.
"""

from __future__ import annotations

import numpy as np

from data_pipeline.clean.characters import BLANK, DIGIT, LETTER, SYMBOL, UPPER
from data_pipeline.clean.phrases import phrase_at, small
from data_pipeline.clean.segmentation import before, decode, next_word, strip
from data_pipeline.kernel import kernel

RULE_VERSION = 1

REASONS = (
    "lines_uppercase", "lines_numeric", "lines_counter", "lines_one_word", "lines_edited_away", "c4_long_word",
    "c4_no_terminal_punctuation", "c4_few_words", "c4_javascript", "c4_policy",
)  # fmt: skip
"""Why a line goes, in the order in which the rules are asked. The first five are RefinedWeb's."""

EDITED = len(REASONS)
"""Place of the count of lines that were changed and stay, behind those of REASONS."""

JAVASCRIPT, LOREM_IPSUM, POLICY, STARTS, ENDS, INSIDE = range(6)
"""Kinds of phrases."""

_EDIT = np.frombuffer(b"[edit]", np.uint8)
_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@kernel
def citation(data, i, stop):  # type: ignore[no-untyped-def]
    """Bytes of "[1]", "[]", "[edit]" or "[citation needed]" at byte i, which is "["; 0: none."""
    k = i + 1
    while k < stop and 48 <= data[k] <= 57:
        k += 1
    if k < stop and data[k] == 93:
        return k + 1 - i
    for text in (_EDIT, _NEEDED):
        size = len(text)
        if i + size <= stop:
            k = 0
            while k < size and data[i + k] == text[k]:
                k += 1
            if k == size:
                return size
    return 0


@kernel
def _bound(data, classes, i, stop, last):  # type: ignore[no-untyped-def]
    """Whether byte i is the end of the text or begins a character that is no letter or digit; last: the character
    before byte i is meant."""
    if last:
        if i <= stop:
            return True
        i = before(data, i)
    elif i >= stop:
        return True
    code, _ = decode(data, i)
    return not classes[code] & (LETTER | DIGIT)


@kernel
def _is_counter(data, classes, lower, start, stop, counters):  # type: ignore[no-untyped-def]
    """Whether the two words of the line are a number (3, 1,204, 1.2k) and one of the counters."""
    one = next_word(data, classes, lower, start, stop, False)
    two = next_word(data, classes, lower, one[1], stop, False)
    for number, noun in ((one, two), (two, one)):
        digits = 0
        others = 0
        i = number[0]
        while i < number[1]:
            code, i = decode(data, i)
            if classes[code] & DIGIT:
                digits += 1
            elif classes[code] & LETTER:
                others += 1
        if digits > 0 and others <= 1:
            for counter in counters:
                if noun[6] == counter:
                    return True
    return False


@kernel
def examine(data, begin, end, classes, lower, phrases, ends, counters, numbers, switches, verdict):  # type: ignore[no-untyped-def]
    """One line without its line feed, bytes [begin, end), not blank.

    phrases: (kinds, starts, data, pairs). ends: uint8 [0x110000], 1 for what may end a line, or empty. numbers: float64,
    (max_uppercase, max_edited_words, min_line_words, max_line_word_characters). switches: bool (numeric, one_word,
    javascript, citations). verdict, int64 [8], is filled: RefinedWeb's reason or -1; C4's reason or -1; words;
    occurrences of lorem ipsum, of {; bytes cut at the start, at the end (behind the line without blanks); whether
    phrases inside are to be cut.
    """
    kinds, starts, texts, pairs = phrases
    start, stop = strip(data, classes, begin, end)
    words = 0
    longest = 0
    i = start
    while i < stop:
        word = next_word(data, classes, lower, i, stop, False)
        words += 1
        longest = max(longest, word[3])
        i = word[1]
    letters = 0
    capitals = 0
    digits = 0
    curly = 0
    lorem = 0
    javascript = False
    policy = False
    inside = False
    short = words <= numbers[1]
    i = start
    while i < stop:
        if i + 1 < stop and pairs[np.int64(small(data[i])) * 256 + np.int64(small(data[i + 1]))]:
            if phrase_at(data, i, stop, LOREM_IPSUM, kinds, starts, texts):
                lorem += 1
            if not javascript and phrase_at(data, i, stop, JAVASCRIPT, kinds, starts, texts):
                javascript = True
            if not policy and phrase_at(data, i, stop, POLICY, kinds, starts, texts):
                policy = True
            if short and not inside:
                size = phrase_at(data, i, stop, INSIDE, kinds, starts, texts)
                if size and _bound(data, classes, i, start, True) and _bound(data, classes, i + size, stop, False):
                    inside = True
        if data[i] == 123:
            curly += 1
        code, i = decode(data, i)
        kind = classes[code]
        if kind & LETTER:
            letters += 1
            if kind & UPPER:
                capitals += 1
        elif kind & DIGIT:
            digits += 1

    at_start = 0
    at_end = 0
    if short:
        size = phrase_at(data, start, stop, STARTS, kinds, starts, texts)
        if size and _bound(data, classes, start + size, stop, False):
            at_start = size
        for p in range(len(kinds)):
            size = starts[p + 1] - starts[p]
            if at_end == 0 and kinds[p] == ENDS and start + at_start + size <= stop:
                at = stop - size
                if phrase_at(data, at, stop, ENDS, kinds, starts, texts) == size and _bound(
                    data, classes, at, start, True
                ):
                    at_end = size

    line = -1
    if letters > 0 and capitals > numbers[0] * letters:
        line = 0
    elif switches[0] and digits > 0 and letters == 0:
        line = 1
    elif words == 2 and digits > 0 and len(counters) and _is_counter(data, classes, lower, start, stop, counters):
        line = 2
    elif switches[1] and words == 1:
        line = 3

    c4 = -1
    close = stop
    if switches[3]:
        cut = True
        while cut and close > start and data[close - 1] == 93:
            cut = False
            i = close - 1
            # The longest of them has 17 bytes, but a number may be longer.
            while i > start and data[i] != 91:
                i -= 1
            size = citation(data, i, close) if data[i] == 91 else 0
            if size == close - i:
                _, close = strip(data, classes, start, i)
                cut = True
    if longest > numbers[3]:
        c4 = 5
    elif len(ends) and not _ends_well(data, ends, start, close):
        c4 = 6
    elif words < numbers[2]:
        c4 = 7
    elif switches[2] and javascript:
        c4 = 8
    elif policy:
        c4 = 9
    verdict[0] = line
    verdict[1] = c4
    verdict[2] = words
    verdict[3] = lorem
    verdict[4] = curly
    verdict[5] = at_start
    verdict[6] = at_end
    verdict[7] = inside


@kernel
def _ends_well(data, ends, start, stop):  # type: ignore[no-untyped-def]
    """Whether the text ends with one of the characters, and not with three dots."""
    if stop <= start:
        return False
    if stop - start >= 3 and data[stop - 1] == 46 and data[stop - 2] == 46 and data[stop - 3] == 46:
        return False
    code, _ = decode(data, before(data, stop))
    return ends[code] != 0


@kernel
def _write(data, begin, end, classes, phrases, verdict, edit, citations, out, at):  # type: ignore[no-untyped-def]
    """Copies the line into out[at:], without what is cut; returns the end of it in out, whether anything was cut, and
    whether a letter or digit is left. A line of which nothing is cut is copied byte for byte."""
    kinds, starts, texts, _ = phrases
    start, stop = strip(data, classes, begin, end)
    first = at
    i = begin
    cut = False
    if edit:
        cut = True
        start, close = strip(data, classes, start + verdict[5], stop - verdict[6])
        i, stop = start, close
    left = False
    while i < stop:
        size = 0
        if citations and data[i] == 91:
            size = citation(data, i, stop)
        elif edit and verdict[7] and data[i] & 0xC0 != 0x80:
            size = phrase_at(data, i, stop, INSIDE, kinds, starts, texts)
            if size and not (_bound(data, classes, i, start, True) and _bound(data, classes, i + size, stop, False)):
                size = 0
        if size:
            cut = True
            i += size
            continue
        code, behind = decode(data, i)
        if not classes[code] & (BLANK | SYMBOL):
            left = True
        while i < behind:
            out[at] = data[i]
            at += 1
            i += 1
    if cut:
        _, at = strip(out, classes, first, at)
    else:
        while i < end:
            out[at] = data[i]
            at += 1
            i += 1
    return at, cut, left


@kernel
def sweep(data, offsets, classes, lower, phrases, ends, counters, numbers, switches, out, bounds, signals, notes):  # type: ignore[no-untyped-def]
    """All documents of a batch. switches goes on with (remove RefinedWeb's lines, remove C4's).

    Filled: out, the texts that remain, and bounds, int64 [documents + 1], where each begins; signals, float64
    [documents, 3]: share of words on lines that RefinedWeb refuses or edits, occurrences of lorem ipsum and of { on
    lines that stay; notes, int64 [len(REASONS) + 1]: lines removed by reason, and lines edited. Returns whether any
    text was changed.
    """
    remove_lines = switches[4]
    remove_c4 = switches[5]
    citations = remove_c4 and switches[3]
    verdict = np.zeros(8, np.int64)
    at = 0
    changed = False
    bounds[0] = 0
    for document in range(len(offsets) - 1):
        first = offsets[document]
        stop = offsets[document + 1]
        total = 0
        flagged = 0
        lorem = 0
        curly = 0
        origin = at
        gap = True  # whether the line before, of those that stay, is blank
        removed = False
        i = first
        while i < stop:
            end = i
            while end < stop and data[end] != 10:
                end += 1
            start, close = strip(data, classes, i, end)
            if start == close:
                # Blank lines around what was removed become one.
                if not (gap and removed):
                    for k in range(i, end):
                        out[at] = data[k]
                        at += 1
                    if end < stop:
                        out[at] = 10
                        at += 1
                gap = True
                i = end + 1
                continue
            examine(data, i, end, classes, lower, phrases, ends, counters, numbers, switches, verdict)
            total += verdict[2]
            edited = verdict[5] + verdict[6] + verdict[7] > 0
            if verdict[0] >= 0 or edited:
                flagged += verdict[2]
            reason = verdict[0] if remove_lines else -1
            if reason < 0 and remove_c4:
                if verdict[1] < 0 or verdict[1] > 7:
                    lorem += verdict[3]
                if verdict[1] < 0 or verdict[1] > 8:
                    curly += verdict[4]
                reason = verdict[1]
            elif reason < 0:
                lorem += verdict[3]
                curly += verdict[4]
            if reason < 0:
                line = at
                edit = edited and remove_lines
                at, cut, left = _write(data, i, end, classes, phrases, verdict, edit, citations, out, at)
                changed = changed or cut
                if edit and left:
                    notes[EDITED] += 1
                elif edit:
                    at = line
                    reason = 4
            if reason >= 0:
                notes[reason] += 1
                changed = True
                removed = True
            else:
                gap = False
                if end < stop:
                    out[at] = 10
                    at += 1
            i = end + 1
        start, close = strip(out, classes, origin, at)
        # What was stripped before stays so; nothing else is taken from the ends of a text without removals.
        if removed and (start > origin or close < at):
            for k in range(start, close):
                out[origin + k - start] = out[k]
            at = origin + close - start
        bounds[document + 1] = at
        signals[document, 0] = flagged / total if total else 0.0
        signals[document, 1] = lorem
        signals[document, 2] = curly
    return changed
