"""All signals of a document in one sweep over its lines and its words."""

from __future__ import annotations

import numpy as np

from data_pipeline.clean.characters import BLANK, BULLET, CLOSING, LETTER, TERMINAL
from data_pipeline.clean.repeats import duplicates, ngrams
from data_pipeline.clean.segmentation import ALPHABETIC, OF_MANY, PROPER, before, decode, mix, next_word, strip
from data_pipeline.kernel import kernel

RULE_VERSION = 1

SIGNALS = (
    "unspaced_share",
    "gopher_words", "gopher_mean_word_length", "gopher_hashes", "gopher_ellipses", "gopher_bullet_lines",
    "gopher_ellipsis_lines", "gopher_alphabetic_words", "gopher_stop_words",
    "gopher_duplicate_lines", "gopher_duplicate_paragraphs", "gopher_duplicate_line_characters",
    "gopher_duplicate_paragraph_characters",
    *(f"gopher_top_{n}gram_characters" for n in (2, 3, 4)),
    *(f"gopher_duplicate_{n}gram_characters" for n in range(5, 11)),
    "c4_sentences",
    "fineweb_punctuated_lines", "fineweb_short_lines", "fineweb_duplicate_line_characters", "fineweb_newlines_per_word",
)  # fmt: skip
"""Columns of the result, in order."""

_STEP = np.uint64(0xD6E8FEB86659FD93)
_NEVER = np.uint64(0x9AE16A3B2F90404F)


@kernel
def _sentences(data, classes, start, stop):  # type: ignore[no-untyped-def]
    """Sentences of one line. One ends at terminal punctuation (Unicode's Sentence_Terminal) and closing quotes or
    brackets behind it, where a blank or the line's end follows; punctuation beyond ASCII needs no blank. A full stop
    behind a single letter ("J. Bach", "e.g.") ends none. What follows the last end is a sentence."""
    count = 0
    open_ = False
    run = 0  # letters directly before
    i = start
    while i < stop:
        code, i = decode(data, i)
        kind = classes[code]
        if kind & TERMINAL and not (code == 46 and run == 1):
            wide = code > 127
            while i < stop:
                code, behind = decode(data, i)
                if not classes[code] & (TERMINAL | CLOSING):
                    break
                wide = wide or (code > 127 and classes[code] & TERMINAL != 0)
                i = behind
            if open_ and (i >= stop or wide or classes[decode(data, i)[0]] & BLANK):
                count += 1
                open_ = False
            run = 0
        elif kind & BLANK:
            run = 0
        else:
            open_ = True
            run = run + 1 if kind & LETTER else 0
    return count + 1 if open_ else count


@kernel
def _is_end(data, classes, k, last):  # type: ignore[no-untyped-def]
    """Whether a line ends a sentence. last: its last character; k: byte of the last one that is no closing mark. Behind
    punctuation in ASCII a closing mark hides the end, as in the code with which FineWeb's bound was found."""
    code, _ = decode(data, k)
    return classes[code] & TERMINAL != 0 and (code == last or code > 127)


@kernel
def _line_signals(data, begin, end, classes, short, room, table, row):  # type: ignore[no-untyped-def]
    """Signals of lines and paragraphs of the bytes [begin, end) into row; returns characters, line feeds, steps."""
    hashes, sizes = room
    lines = 0
    newlines = 0
    bullets = 0
    ellipses = 0
    punctuated = 0
    shorts = 0
    sentences = 0
    characters = 0
    i = begin
    while i < end:
        stop = i
        while stop < end and data[stop] != 10:
            stop += 1
        start, close = strip(data, classes, i, stop)
        for k in range(i, stop):
            characters += data[k] & 0xC0 != 0x80
        if stop < end:
            characters += 1
            newlines += 1
        if start < close:
            line = np.uint64(0xCBF29CE484222325)
            size = 0
            dots = 0
            for k in range(start, close):
                byte = data[k]
                line = (line ^ np.uint64(byte)) * np.uint64(0x100000001B3)
                size += byte & 0xC0 != 0x80
            last = decode(data, before(data, close))[0]
            k = before(data, close)
            while k > start and classes[decode(data, k)[0]] & CLOSING:
                k = before(data, k)
            punctuated += _is_end(data, classes, k, last)
            k = close - 1
            while k >= start and dots < 3 and data[k] == 46:
                dots += 1
                k -= 1
            hashes[lines] = mix(line)
            sizes[lines] = size
            lines += 1
            bullets += classes[decode(data, start)[0]] & BULLET != 0
            ellipses += dots == 3 or last == 0x2026
            shorts += size <= short
            sentences += _sentences(data, classes, start, close)
        i = stop + 1
    again, size, steps = duplicates(hashes, sizes, lines, table)
    whole = max(1, lines)
    row[5] = bullets / whole
    row[6] = ellipses / whole
    row[9] = again / whole
    row[11] = size / characters if characters else 0.0
    row[22] = sentences
    row[23] = punctuated / whole
    row[24] = shorts / whole
    row[25] = size / (characters - newlines) if characters > newlines else 0.0
    return characters, newlines, steps


@kernel
def _paragraph_signals(data, begin, end, classes, characters, room, table, row):  # type: ignore[no-untyped-def]
    """Signals of paragraphs, the parts between blank lines; returns steps."""
    hashes, sizes = room
    paragraphs = 0
    inside = False
    whole = np.uint64(0)
    size = 0
    i = begin
    while i <= end:
        stop = i
        while stop < end and data[stop] != 10:
            stop += 1
        start, close = strip(data, classes, i, stop)
        if start < close:
            line = np.uint64(0xCBF29CE484222325)
            if inside:
                size += 1
            for k in range(start, close):
                line = (line ^ np.uint64(data[k])) * np.uint64(0x100000001B3)
                size += data[k] & 0xC0 != 0x80
            whole = whole * _STEP + mix(line)
            inside = True
        if inside and (start == close or stop >= end):
            hashes[paragraphs] = whole
            sizes[paragraphs] = size
            paragraphs += 1
            inside = False
            whole = np.uint64(0)
            size = 0
        i = stop + 1
    again, size, steps = duplicates(hashes, sizes, paragraphs, table)
    row[10] = again / paragraphs if paragraphs else 0.0
    row[12] = size / characters if characters else 0.0
    return steps


@kernel
def measure_batch(data, offsets, classes, lower, spans, span_offsets, stops, stop_offsets, languages, short, out):  # type: ignore[no-untyped-def]
    """Signals of every document of a batch into out, float64 [documents, len(SIGNALS)]; returns the steps taken.

    spans: int64 [words, 2] and span_offsets [documents + 1]: words found by others, in bytes of data; span_offsets
    empty: the words of `next_word`. stops: hashes of stop words, and stop_offsets [lists + 1]; languages: the list of
    each document, -1: none, whose signal is NaN. short: characters of a short line.
    """
    documents = len(offsets) - 1
    given = len(span_offsets) > 0
    room = 2
    for document in range(documents):
        room = max(room, (offsets[document + 1] - offsets[document]) // 2 + 2)
        if given:
            room = max(room, span_offsets[document + 1] - span_offsets[document] + 2)
    bits = 4
    while (1 << bits) < 2 * room:
        bits += 1
    # Memory that is not written to is not occupied: the size is that of the worst case, one character per word.
    words = np.empty(room, np.uint64)
    grams = np.empty(room, np.uint64)
    ends = np.empty(room + 1, np.int32)
    blanks = np.empty(room + 1, np.int32)
    first = np.empty(room, np.int32)
    times = np.empty(room, np.int32)
    mark = np.empty(room, np.int8)
    candidates = np.empty(room, np.int32)
    table = np.empty(1 << bits, np.int32)
    met = np.zeros(max(1, len(stops)), np.int64)
    steps = np.int64(0)
    for document in range(documents):
        begin = offsets[document]
        end = offsets[document + 1]
        row = out[document]
        characters, newlines, took = _line_signals(data, begin, end, classes, short, (words, ends), table, row)
        steps += took + end - begin
        steps += _paragraph_signals(data, begin, end, classes, characters, (words, ends), table, row)
        count = 0
        proper = 0
        alphabetic = 0
        length = 0
        letters = 0
        unspaced = 0
        of_many = 0
        hashes = 0
        dots = 0
        found = 0
        stop_from = 0
        stop_to = 0
        if languages[document] >= 0:
            stop_from = stop_offsets[languages[document]]
            stop_to = stop_offsets[languages[document] + 1]
        ends[0] = 0
        blanks[0] = 0
        span = span_offsets[document] if given else 0
        i = begin
        while True:
            if given:
                if span == span_offsets[document + 1]:
                    break
                word = next_word(data, classes, lower, spans[span, 0], spans[span, 1], True)
                span += 1
                apart = True
            else:
                word = next_word(data, classes, lower, i, end, False)
                if word[0] == word[1]:
                    break
                apart = word[0] > i
                i = word[1]
            words[count] = word[2]
            ends[count + 1] = ends[count] + word[3]
            blanks[count + 1] = blanks[count] + apart
            count += 1
            flags = word[5]
            if flags & PROPER:
                proper += 1
                length += word[4]
            if flags & ALPHABETIC:
                alphabetic += 1
            if flags & OF_MANY:
                of_many += 1
            unspaced += word[7]
            letters += word[8]
            if stop_to > stop_from and word[3] <= 24:
                for k in range(stop_from, stop_to):
                    if stops[k] == word[6]:
                        if met[k] != document + 1:
                            met[k] = document + 1
                            found += 1
                        break
        for k in range(begin, end):
            byte = data[k]
            if byte == 35:
                hashes += 1
            elif byte == 46:
                if k + 2 < end and data[k + 1] == 46 and data[k + 2] == 46 and (k == begin or data[k - 1] != 46):
                    run = 0
                    while k + run < end and data[k + run] == 46:
                        run += 1
                    dots += run // 3
            elif byte == 0xE2 and k + 2 < end and data[k + 1] == 0x80 and data[k + 2] == 0xA6:
                dots += 1
        # A word of Chinese or Japanese has about two characters, one of Thai, Lao, Khmer, Burmese or Tibetan about four.
        scale = 1
        if not given and 2 * unspaced > letters:
            scale = 4 if 2 * of_many > unspaced else 2
        row[0] = unspaced / letters if letters else 0.0
        row[1] = proper
        row[2] = length / proper if proper else 0.0
        row[3] = hashes / max(1, count)
        row[4] = dots / max(1, count)
        row[7] = alphabetic / count if count else 0.0
        row[8] = found if languages[document] >= 0 else np.nan
        steps += ngrams(words, count, scale, ends, blanks, grams, table, first, times, mark, candidates, row[13:22])
        for n in range(13, 22):
            row[n] = row[n] / characters if characters else 0.0
        row[26] = newlines / max(1, count)
    return steps
