"""Repair and language."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.clean import Clean
from data_pipeline.clean import language
from data_pipeline.clean.repair import repair

ANY_TEXT = st.text(st.characters(codec=None), max_size=200)
GOOD = "The mill stands by the river, and the wheel that turns it has been there with the water of many years. " * 4


def count(function, *arguments):
    """How many lines and calls Python goes through: an operation count that no other load on the machine changes."""
    steps = 0

    def trace(frame, event, argument):
        nonlocal steps
        steps += 1
        return trace

    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(None)
    return steps


PIECES = ["the mill ", "a", " ", "\n", "- x\n", "...", "#", "Ã© ", "é" * 40 + " ", "\u2026\n", "e\u0301"]


@pytest.mark.parametrize("piece", PIECES)
def test_repair_is_linear_in_the_length_of_the_text(piece):
    def all_of(text):
        repair(text, Clean())

    all_of(piece)  # imports and caches
    assert count(all_of, piece * 20_000) <= 13 * count(all_of, piece * 2_000) + 1000


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("caf\u00c3\u00a9 au lait", "café au lait"),
        ("it\u00e2\u20ac\u2122s plain", "it\u2019s plain"),
        ("plain ASCII & <tags> &amp; \u201cquotes\u201d", "plain ASCII & <tags> &amp; \u201cquotes\u201d"),
        ("cafe\u0301", "café"),
        ("a\r\nb\rc\u2028d\u2029e", "a\nb\nc\nd\ne"),
        ("so\x85 on", "so\u2026 on"),  # a character of Windows-1252, rather than a control
        ("a\x00b\x1bc\x7fd\ufffee\tf", "abcde\tf"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("a very long clean line\n" * 50 + "caf\u00c3\u00a9", "a very long clean line\n" * 50 + "café"),
    ],
)
def test_texts_are_repaired(before, after):
    assert repair(before, Clean())[0] == after


def test_repair_and_normal_form_can_be_turned_off():
    text = "caf\u00c3\u00a9 cafe\u0301"
    assert repair(text, Clean(repair=False, normalization="none")) == (text, False)
    assert repair(text, Clean(normalization="none")) == ("café cafe\u0301", True)
    assert repair("d\x85e", Clean(repair=False)) == ("d\ne", False)


def test_the_cases_of_ftfy_hold(corpora):
    cases = [
        case for path in sorted((corpora / "peers" / "ftfy").rglob("*.json")) for case in json.loads(path.read_text())
    ]
    cases = [case for case in cases if case.get("expect") == "pass"]
    assert len(cases) > 50
    for case in cases:
        wanted = case.get("fixed-encoding", case["fixed"])
        asked = repair(case["original"], Clean(normalization="none"))[0]
        assert asked == repair(wanted, Clean(repair=False, normalization="none"))[0], case["label"]


@given(ANY_TEXT)
def test_any_text_is_repaired_to_one_that_stays(text):
    once, _ = repair(text, Clean(repair=False))
    once.encode()
    assert repair(once, Clean(repair=False)) == (once, False)
    repair(text, Clean())[0].encode()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("All human beings are born free and equal in dignity and rights.", "en"),
        ("Alle Menschen sind frei und gleich an Würde und Rechten geboren.", "de"),
        ("Tous les êtres humains naissent libres et égaux en dignité et en droits.", "fr"),
        ("Все люди рождаются свободными и равными в своем достоинстве и правах.", "ru"),
        ("人人生而自由，在尊严和权利上一律平等。", "zh"),
        ("すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。", "ja"),
    ],
)
def test_the_language_is_told_without_any_download(text, code):
    found, score = language.detect(text)
    assert found == code and 0.5 < score <= 1


@pytest.mark.parametrize("text", ["", " \n\t", "12345 !!! \0", "…" * 5000])
def test_a_text_without_letters_has_no_language(text):
    assert language.detect(text) == ("", 0.0)


@given(ANY_TEXT)
def test_any_text_has_a_language_or_none(text):
    text, _ = repair(text, Clean())
    code, score = language.detect(text)
    assert isinstance(code, str) and 0 <= score <= 1
