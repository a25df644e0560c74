"""Bad words: found as words of their language."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.blocklists import BadWords
from data_pipeline.clean import bad_words
from tests.data_pipeline.steps import count


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    for name, words in {
        "en": "darn\nHeck\ndarn heck\nb-word\n", "de": "mist\nscheibe\u0308nkleister\n", "zh": "坏话\nsm\n", "ko": "나쁜말\n",
        "hi": "बुरा\n", "fil": "masama\n", "README.md": "not a list\n", "LICENCE_NOTE.txt": "darn\n",
    }.items():  # fmt: skip
        (folder / name).write_text(words)
    return BadWords(enabled=True, lists=[str(folder)])


def counted(text, language, config):
    return bad_words.measure([text], [language], config)["bad_words"][0]


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("en", "Darn! what the HECK, b-word", 3), ("en", "darning, check, heckle, darn_it, b-words", 0),
        ("en", "darn heck heck", 3), ("en", "darndarn darn", 1), ("en", "", 0), ("en", "mist", 0),
        ("de", "So ein Mist. Scheibënkleister!", 2), ("de", "mistig", 0),
        ("zh", "他说坏话了，又说坏话", 2), ("zh", "玩sm游戏", 1), ("zh", "sms 和 prism", 0),
        ("ko", "나쁜말을 하다", 1), ("ko", "안나쁜말", 0),
        ("hi", "यह बुरा है", 1), ("hi", "बुराई", 0), ("tl", "masama ito", 1),
    ],
)  # fmt: skip
def test_words_are_found_by_the_rules_of_their_script(config, language, text, count):
    assert counted(text, language, config) == count


def test_the_share_is_per_word_and_unknown_languages_say_nothing(config):
    found = bad_words.measure(["darn it all now", "坏话。。", "x", "fine"], ["en", "zh", "xx", "en"], config)
    assert found["bad_words"].dtype == found["bad_word_share"].dtype == np.float64
    assert list(found["bad_word_share"][[0, 1, 3]]) == [0.25, 0.25, 0.0]
    assert math.isnan(found["bad_words"][2]) and math.isnan(found["bad_word_share"][2])
    fallback = config.model_copy(update={"fallback": "en"})
    assert counted("darn", "xx", fallback) == 1


def test_lists_are_checked_before_anything_runs(config, tmp_path):
    assert bad_words.problems(config) == []
    assert bad_words.problems(BadWords()) == []
    for wrong in (
        BadWords(enabled=True),
        BadWords(enabled=True, lists=[str(tmp_path / "absent")]),
        config.model_copy(update={"fallback": "xx"}),
    ):
        assert len(bad_words.problems(wrong)) == 1


def test_only_lists_are_files_that_decide(config):
    assert [path.rpartition("/")[2] for path in bad_words.files(config)] == ["de", "en", "fil", "hi", "ko", "zh"]


def test_each_rule_names_a_signal_and_a_threshold():
    for rule in bad_words.RULES:
        assert rule.signal in bad_words.SIGNALS
        assert rule.high in BadWords.model_fields and rule.section == "bad_words"


@given(st.text(st.characters(codec=None)), st.sampled_from(["en", "zh", "ko", "hi", "de", ""]))
def test_no_text_breaks_the_count(config, text, language):
    found = bad_words.measure([text], [language], config)
    assert math.isnan(found["bad_words"][0]) == (language == "")
    assert not found["bad_word_share"][0] > 1


@pytest.mark.parametrize("piece", ["darn", "darn ", "darn heck ", "x", "坏话"])
def test_ten_times_the_text_is_ten_times_the_work(config, piece):
    for language in ("en", "zh"):
        assert (
            count(counted, piece * 5000, language, config) <= 13 * count(counted, piece * 500, language, config) + 1000
        )


def test_the_published_lists_find_their_own_words(corpora):
    folder = corpora / "quality" / "ldnoobw"
    config = BadWords(enabled=True, lists=[str(folder)])
    assert len(bad_words.files(config)) == 27
    for language in ("en", "de", "fr", "zh", "ja", "ko", "th", "hi", "ar", "ru"):
        for line in (folder / language).read_text().split("\n"):
            if line.strip():
                assert counted(f"a {line.strip()} b", language, config) >= 1, (language, line)
    assert counted("Scunthorpe, Essex, assassin, cockpit, Dickens, a class of analysts", "en", config) == 0
