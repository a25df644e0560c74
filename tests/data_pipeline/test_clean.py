"""Repair, language, and the stage that cleans."""

import json
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.clean import Clean
from data_pipeline.clean import language, stage
from data_pipeline.clean.repair import repair
from data_pipeline.documents import CANDIDATE_SCHEMA, content_hash, source_column
from data_pipeline.outcome import Tally

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
        ("a\x00b\x1bc\x7fd\ufffee\tf\u200bg", "abcde\tf\u200bg"),
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


def clean(*texts, **settings):
    columns = {
        "id": [n.to_bytes(16, "big") for n in range(len(texts))],
        "text": texts,
        "url": [f"u{n}" for n in range(len(texts))],
        "source": source_column("s", len(texts)),
        "language": [""] * len(texts),
        "metadata": [[("license", "CC0")]] * len(texts),
        "offset": list(range(len(texts))),
    }
    tally, notes = Tally(), {}
    batch = pa.RecordBatch.from_pydict(columns, schema=CANDIDATE_SCHEMA)
    return stage.run(batch, "s", Clean(**settings), tally, notes), tally.as_json(), notes


def test_kept_documents_have_language_and_content_hash():
    outcome, counts, notes = clean(f"  {GOOD}\n")
    [row] = outcome.kept.to_pylist()
    assert row["text"] == GOOD.strip()
    assert row["language"] == "en"
    assert row["metadata"] == [("content_hash", content_hash(GOOD).hex()), ("license", "CC0")]
    assert counts == {
        "documents": {"in": 1, "kept": 1, "rejected": {}},
        "bytes": {"in": len(GOOD) + 3, "kept": len(GOOD.strip()), "rejected": {}},
    }
    assert notes == {"language en": 1}


def test_rejected_documents_keep_reason_value_and_the_beginning_of_their_text():
    german = "Die Mühle steht am Fluss, und das Rad dreht sich seit vielen Jahren mit dem Wasser, das dort fließt. " * 9
    outcome, counts, _ = clean(
        "x" * 5001, GOOD, "too short", "\x00\x01", german, max_bytes=5000, languages=["en"], min_language_score=0.3
    )
    assert [row["id"][-1] for row in outcome.kept.to_pylist()] == [1]
    rows = outcome.rejected.to_pylist()
    assert [(row["offset"], row["stage"], row["reason"]) for row in rows] == [
        (0, "clean", "max_bytes"), (2, "clean", "gopher_words_few"), (3, "clean", "empty"), (4, "clean", "language"),
    ]  # fmt: skip
    assert [rows[0]["value"], rows[1]["value"], rows[2]["value"]] == [5001, 2, 0]
    assert rows[0]["text"] == "x" * 2000 and rows[1]["text"] == "too short"
    assert counts["documents"]["in"] == 5
    assert counts["documents"]["rejected"] == {"empty": 1, "gopher_words_few": 1, "language": 1, "max_bytes": 1}


def test_a_document_over_the_bound_is_refused_before_it_is_segmented(monkeypatch):
    def segmented(text):
        raise AssertionError("segmented")

    monkeypatch.setattr(stage, "Segmentation", segmented)
    outcome, _, _ = clean("é" * 501, max_bytes=1000)
    assert outcome.rejected.to_pylist()[0]["value"] == 1002


def test_rules_that_are_off_reject_nothing():
    outcome, _, notes = clean("short", "Ã©", gopher_quality={"enabled": False})
    assert [row["text"] for row in outcome.kept.to_pylist()] == ["short", "é"]
    assert notes["repaired"] == 1


@given(st.lists(st.text(max_size=80), max_size=6), st.booleans())
def test_documents_in_are_kept_or_rejected(texts, enabled):
    outcome, counts, _ = clean(*texts, max_bytes=60, gopher_quality={"enabled": enabled, "min_words": 3})
    documents = counts["documents"]
    assert outcome.kept.num_rows == documents["kept"]
    assert outcome.rejected.num_rows == sum(documents["rejected"].values())
    assert documents["in"] == len(texts) == documents["kept"] + sum(documents["rejected"].values())
    order = [row["offset"] for row in outcome.rejected.to_pylist()]
    assert order == sorted(order)
