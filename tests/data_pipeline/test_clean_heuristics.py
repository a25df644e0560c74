"""Signals: what the compiled loops measure, against plain Python, in any division, and in linear time."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.clean import Clean
from data_pipeline.clean import heuristics, rules
from tests.data_pipeline.heuristics_reference import signals as reference
from tests.data_pipeline.heuristics_reference import words_of

ALL_LINES = Clean.model_validate({"lines": {"enabled": True}, "c4": {"enabled": True}})

PIECES = [
    "the", "Mill", " ", "  ", "\n", "\n\n", "\t", "of", "...", "…", "#", "- ", "•", ".", "!", "?", '"', "”", ")", "(",
    "水", "火", "。", "「", "」", "ひ", "カ", "ก", "ำ", "่", "한", "국", "가", "é", "e\u0301", "ß", "İ", "Я", "и", "7", "3.5", "१",
    "\u00a0", "\u3000", "\u200b", "\u2028", "😀", "𠀀", "a", "A.", "e.g.", "the of", "-", "one two three four five six",
]  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=80).map("".join),
    st.text(max_size=100),
    st.lists(st.sampled_from(["a", "b", "c", "\n"]), max_size=120).map(" ".join),
)


def measure(*texts, languages=None, config=None):
    return heuristics.measure(pa.array(texts, pa.large_string()), languages or ["en"] * len(texts), config or Clean())


def only(text, language="en", config=None):
    return {name: values[0] for name, values in measure(text, languages=[language], config=config).signals.items()}


@settings(max_examples=400)
@given(TEXTS, st.sampled_from(["en", "de", "ru", "xx", ""]))
def test_every_signal_equals_plain_python(text, language):
    found = only(text, language)
    for name, value in reference(text, language).items():
        assert found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_every_signal_equals_plain_python_on_real_texts(corpora):
    with gzip.open(corpora / "quality" / "dclm-human-labels" / "majority_data.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["text"] for line in file][:60]
    for language, encoding in (("de", "utf-8"), ("ja", "utf-8"), ("ru", "koi8-r"), ("zh_CN", "utf-8")):
        path = corpora / "deb_text" / "installation-guide" / f"install.{language}.txt.gz"
        texts.append(gzip.decompress(path.read_bytes())[:40_000].decode(encoding, "replace"))
    found = measure(*texts)
    for place, text in enumerate(texts):
        for name, value in reference(text).items():
            assert found.signals[name][place] == pytest.approx(value, abs=1e-12), (place, name)


LINES = [
    "the mill. ",
    "3 likes",
    " ",
    "",
    "NO",
    "It stands by the water.[1] ",
    "Read more",
    " It turns and turns there.\u3000",
]


@settings(max_examples=300)
@given(st.lists(st.one_of(TEXTS, st.lists(st.sampled_from(LINES)).map("\n".join)), max_size=6), st.data())
def test_a_document_is_measured_alike_in_any_batch(texts, data):
    whole = measure(*texts, config=ALL_LINES)
    cut = data.draw(st.integers(0, len(texts)))
    # A slice of an array shares its buffers: offsets do not begin at 0.
    array = pa.array(texts, pa.large_string())
    parts = [
        heuristics.measure(part, ["en"] * len(part), ALL_LINES) for part in (array.slice(0, cut), array.slice(cut))
    ]
    assert whole.texts.to_pylist() == [text for part in parts for text in part.texts.to_pylist()]
    for name in heuristics.SIGNALS:
        joined = np.concatenate([part.signals[name] for part in parts])
        assert np.array_equal(whole.signals[name], joined, equal_nan=True), name
    notes = {}
    for part in parts:
        for note, count in part.notes.items():
            notes[note] = notes.get(note, 0) + count
    assert whole.notes == notes


@given(st.lists(st.text(max_size=60), max_size=4), st.booleans(), st.booleans())
def test_no_rule_crashes_on_any_text_and_every_value_is_finite_or_says_nothing(texts, lines, c4):
    config = Clean.model_validate(
        {
            "lines": {"enabled": lines},
            "c4": {"enabled": c4},
            "gopher_repetition": {"enabled": True},
            "fineweb": {"enabled": True},
        }
    )
    found = measure(*texts, config=config)
    assert list(found.signals) == list(heuristics.SIGNALS)
    for name, values in found.signals.items():
        assert values.dtype == np.float64 and values.shape == (len(texts),)
        assert np.all((values >= 0) & np.isfinite(values) | np.isnan(values)), name
        assert name == "gopher_stop_words" or not np.isnan(values).any()
    table = rules.in_force(config)
    reasons, values = rules.judge(found.signals, table, config)
    assert np.all((reasons >= -1) & (reasons < len(table))) and np.all(np.isfinite(values))


def test_texts_that_are_not_utf8_are_refused_before_any_loop_reads_them():
    broken = pa.LargeStringArray.from_buffers(1, pa.py_buffer(np.array([0, 2], np.int64)), pa.py_buffer(b"a\xf0"))
    with pytest.raises(pa.ArrowInvalid):
        heuristics.measure(broken, ["en"], Clean())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("One two\n\n \tthree\n- four", ["One", "two", "three", "-", "four"]),
        ("人人生而自由，在尊严。", ["人", "人", "生", "而", "自", "由，", "在", "尊", "严。"]),
        ("「使用Python3编程」", ["「使", "用", "Python3", "编", "程」"]),
        ("3月5日 is", ["3", "月", "5", "日", "is"]),
        ("모든 인간은", ["모든", "인간은"]),
        ("กินข้าว", ["กิ", "น", "ข้", "า", "ว"]),
        ("don't stop", ["don't", "stop"]),
    ],
)
def test_words_are_runs_without_blanks_and_characters_where_no_blanks_are_written(text, words):
    assert words_of(text) == words
    assert only(text)["gopher_words"] == len([word for word in words if word != "-"])


COUNT_OPERATIONS = """
import json, sys
import pyarrow as pa
from configs.schema.clean import Clean
from data_pipeline.clean import heuristics
config = Clean.model_validate({"lines": {"enabled": True}, "c4": {"enabled": True}})
steps = 0
def trace(frame, event, argument):
    global steps
    steps += 1
    return trace
def count(text):
    global steps
    array = pa.array([text], pa.large_string())
    heuristics.measure(array, ["en"], config)
    steps = 0
    sys.settrace(trace)
    heuristics.measure(array, ["en"], config)
    sys.settrace(None)
    return steps
print(json.dumps({piece: [count(piece * n) for n in (0, 40, 400)] for piece in json.loads(sys.argv[1])}))
"""


def test_every_rule_is_linear_in_the_length_of_the_text():
    """The loops themselves, run by the interpreter: their steps are counted, so that no load on the machine matters."""
    pieces = [
        "a", "\n", " ", ".", "…", "[", "[1", "[1]", "]", "{", "水", "of ", "a\n", " \n", "x y\n", "terms of us", "read more",
        "lorem ipsu", "NO 3 likes\n", "end.[1][2]\n", "The mill by the water.\n\n", "items in cart ", "한 ", "\"", ") ",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COUNT_OPERATIONS, json.dumps(pieces)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    for piece, (empty, short, long) in json.loads(done.stdout).items():
        assert short > empty + 100, piece
        assert long - empty <= 13 * (short - empty), (piece, empty, short, long)


def test_a_table_filled_by_an_adversary_still_takes_bounded_steps():
    from data_pipeline.clean.repeats import duplicates

    def steps(items):
        # All hashes fall on one place of the table: the worst that chosen words could do.
        inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
        hashes = np.array([(item * inverse) % 2**64 for item in range(items)], np.uint64)
        sizes, table = np.ones(items, np.int32), np.empty(8 * items, np.int32)
        return duplicates(hashes, sizes, items, table)

    assert steps(20_000)[2] <= 13 * steps(2_000)[2]
    assert steps(20_000)[:2] == (0, 0)


def test_one_character_and_one_word_and_empty_lines_of_megabytes_are_measured():
    for piece in ("a", "\n", "水", "ab ", "x\n"):
        found = only(piece * 1_000_000)
        assert np.isfinite(list(found.values())).all()
    assert only("水" * 100_000)["gopher_words"] == 100_000
    assert only("a" * 1_000_000)["gopher_words"] == 1


def test_the_loops_run_where_no_cache_can_be_written(tmp_path):
    """A read-only installation without a home: compiled anew rather than refused."""
    script = """
import numba
from numba.core import caching
def refuse(*arguments, **named):
    raise RuntimeError("cannot cache function: no locator available")
caching.FunctionCache.__init__ = refuse
from data_pipeline.kernel import kernel
@kernel
def double(x):
    return 2 * x
print(double(21))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
