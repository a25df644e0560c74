"""Repair: what is invisible or broken in a text, and the speed that does not change results."""

import json
import random
import re

import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.clean import Clean
from data_pipeline.clean.repair import repair, suspicion
from tests.data_pipeline.steps import count

MARKS = sorted(
    set(filter(re.compile(f"[{''.join(MOJIBAKE_CATEGORIES.values())}]").match, map(chr, range(0x20, 0x10000))))
)
NEAR = [*MARKS, *"abZ .,?!\t\n", "日", "\xa0", "\u200b", "ў", "Ђ"]
TAG = "\U000e0067\U000e0062\U000e007f"
ANY_TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=200),
    st.lists(st.sampled_from(NEAR), max_size=12).map("".join),
    st.text(
        st.sampled_from([*"\r\n\t \x85\u2028\xad\u200b\u200c\u200d\u202e\u2066\ufeffกขAé", "\U0001f3f4", *TAG]),
        max_size=30,
    ),
)


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


@pytest.mark.parametrize("context", ["{}", "a{}", "{}a", " {} ", "В{}Р", "é{}é"])
def test_the_search_before_the_markers_of_ftfy_misses_none(context):
    suspicious = suspicion(MOJIBAKE_CATEGORIES).search
    before, after = context.split("{}")
    draw = random.Random(7)
    for first in NEAR:
        for second in draw.sample(NEAR, 40):
            text = before + first + second + after
            assert suspicious(text) or not is_bad(text), ascii(text)


@given(st.lists(st.sampled_from(NEAR), max_size=8).map("".join))
def test_no_sequence_of_marks_is_missed(text):
    assert suspicion(MOJIBAKE_CATEGORIES).search(text) or not is_bad(text)


@pytest.mark.parametrize(
    "text", ["Die Straße, „schön“ – 5\xa0km", "Он сказал: «да» — и ушёл", "他说：“好。”", "Élan « vital »"]
)
def test_clean_text_of_many_languages_is_not_searched_for_markers(text):
    assert suspicion(MOJIBAKE_CATEGORIES).search(text) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\ufeffbegin\ufeffning", "beginning"),
        ("Donau\xaddampf\xadschiff", "Donaudampfschiff"),
        ("zero\u200bwidth", "zerowidth"),
        ("ภาษา\u200bไทย ភាសា\u200bខ្មែរ", "ภาษา\u200bไทย ភាសា\u200bខ្មែរ"),
        ("می\u200cخواهم क्\u200dष 👩\u200d💻", "می\u200cخواهم क्\u200dष 👩\u200d💻"),
        ("if \u202e\u2066admin\u2069 \u200e(\u200f)", "if admin ()"),
        ("a\u2060b\ufff9c\ufffbd", "abcd"),
        (f"\U0001f3f4{TAG} flag, hidden{TAG}", f"\U0001f3f4{TAG} flag, hidden"),
        ("e\xad\u0301", "é"),
    ],
)
def test_invisible_characters_go_unless_they_spell(before, after):
    assert repair(before, Clean()) == (after, False)
    assert repair(before, Clean(invisible="keep", normalization="none"))[0] == before


def test_white_space_is_kept_unless_asked():
    text = "  a \t b \n\n\n \nc\xa0\u3000d\r\n e  \n"
    assert repair(text, Clean())[0] == text.replace("\r\n", "\n")
    assert repair(text, Clean(whitespace="lines"))[0] == "a b\n\nc d\ne"
    assert repair(text, Clean(whitespace="collapse"))[0] == "a b c d e"


@given(ANY_TEXT, st.sampled_from(["keep", "lines", "collapse"]), st.booleans())
def test_a_repaired_text_stays_as_it_is(text, whitespace, mojibake):
    config = Clean(repair=mojibake, whitespace=whitespace)
    once, _ = repair(text, config)
    once.encode()
    assert repair(once, config) == (once, False)


@pytest.mark.parametrize(
    "piece", ["the mill ", "e\u0301", "é" * 40 + " ", "Ã©", "Ã© \n", "\u200b", "\xad", " ", " \n", TAG, "É", "\r"]
)
@pytest.mark.parametrize("whitespace", ["keep", "lines", "collapse"])
def test_ten_times_the_text_is_ten_times_the_work(piece, whitespace):
    config = Clean(whitespace=whitespace)
    repair(piece, config)
    short, long = (count(repair, piece * times, config) for times in (300, 3000))
    assert long <= 13 * short + 1000
