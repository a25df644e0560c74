"""Signals by the user's fastText models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.loader import load
from configs.schema.classifier import Classifier
from configs.schema.clean import Clean
from data_pipeline.clean import classifier, stage
from data_pipeline.clean.classifier import Model, prepare
from data_pipeline.progress import Progress
from data_pipeline.train_classifier import features, sgd
from data_pipeline.train_classifier.train import Settings, train

GOOD = "The committee published its careful report on rivers number {}."
BAD = "BUY cheap pills now!!! click here {} !!!"


def model_file(folder: Path, **settings: object) -> Path:
    for name, pattern in (("good", GOOD), ("bad", BAD)):
        (folder / f"{name}.txt").write_text("\n".join(pattern.format(number) for number in range(40)))
    out = folder / "model.bin"
    files = [[str(folder / f"{name}.txt")] for name in ("good", "bad")]
    train(files[0], files[1], out, Settings(**settings), Progress(quiet=True), force=True)  # type: ignore[arg-type]
    return out


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"ngrams": 1},
        {"ngrams": 3, "min_count": 3, "buckets": 77},
        {"min_n": 2, "max_n": 4},
        {"min_n": 1, "max_n": 3, "ngrams": 1},
    ],
)
def test_fasttext_computes_what_the_trainer_computes(tmp_path: Path, shape: dict[str, int]) -> None:
    """On words of the model and others, in several scripts, and on what fastText treats in its own way."""
    arguments = {"ngrams": 2, "buckets": 512, "min_n": 0, "max_n": 0, "min_count": 1, **shape}
    texts = [
        GOOD,
        BAD,
        "日本語の文と漢字",
        "ñandú é",
        "",
        " ",
        "</s> good",
        "x </s> good",
        "__label__hq good",
        "a\0b\tc\x0bd",
    ]
    texts += ["unknown", "<good>", "s", "\u00a0\u3000 good", "rivers " * 300]
    lines = [prepare(text, normalize, 1000) for text in texts for normalize in ("words", "none")]
    tokens = features.number([line.encode() for line in lines])
    positive = np.arange(len(lines)) % 3 == 0
    learnt = np.arange(8)
    keys = ("min_count", "ngrams", "buckets", "min_n", "max_n")
    known = features.dictionary(tokens, learnt, *(arguments[key] for key in keys))
    weights = sgd.train(tokens, known, learnt, positive, 10, 300, 1.0, 0, lambda by, loss: None)
    ours = sgd.predict(tokens, known, np.arange(len(lines)), weights)

    path = tmp_path / "model.bin"
    from data_pipeline.train_classifier.train import _write

    shape = {key: arguments[key] for key in keys}
    _write(path, tokens, known, learnt, positive, weights, Settings(dimension=10, epochs=30, **shape))  # type: ignore[arg-type]
    model = Model(path)
    theirs = [(model.scores(line) or {"__label__hq": 0.5})["__label__hq"] for line in lines]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert np.ptp(ours) > 0.1


def test_documents_get_the_probability_of_the_label(tmp_path: Path) -> None:
    path = str(model_file(tmp_path))
    good = Classifier(name="good", model=path, normalize="words")
    other = Classifier(name="other", model=path, label="__label__not_hq", normalize="words")
    texts = pa.array([GOOD.format(99), BAD.format(99) + "\n\nclick\n", "Pills\ncheap"], pa.large_string())
    notes: dict[str, int] = {}
    signals = classifier.measure(texts, [good, other], notes)
    assert list(signals) == ["classifier_good", "classifier_other"]
    assert signals["classifier_good"][0] > 0.8 and (signals["classifier_good"][1:] < 0.5).all()
    np.testing.assert_allclose(signals["classifier_good"] + signals["classifier_other"], 1, atol=1e-5)
    assert notes == {}


def test_what_a_text_says_behind_an_end_mark_of_fasttext_still_counts(tmp_path: Path) -> None:
    good = Classifier(name="good", model=str(model_file(tmp_path, normalize="none")))
    texts = pa.array([BAD, f"</s> {BAD}", f"\0{BAD}"], pa.large_string())
    values = classifier.measure(texts, [good], {})["classifier_good"]
    assert (values < 0.2).all()


def test_a_text_of_which_the_model_knows_nothing_gets_the_score_of_an_empty_sum_and_is_counted(tmp_path: Path) -> None:
    """Only a model without a row for the end of text can know nothing at all."""
    from data_pipeline.clean import fasttext_format

    path = tmp_path / "model.bin"
    weights = np.ones((1, 2), np.float32), np.zeros((2, 2), np.float32)
    labels = [(b"__label__hq", 1), (b"__label__not_hq", 1)]
    arguments = fasttext_format.Arguments(2, 1, "softmax", 0, 0, 0)
    fasttext_format.write(path, arguments, [(b"known", 1)], labels, 3, *weights, epochs=1, min_count=1)
    notes: dict[str, int] = {}
    texts = pa.array(["known", "other", ""], pa.large_string())
    values = classifier.measure(texts, [Classifier(name="hq", model=str(path))], notes)["classifier_hq"]
    np.testing.assert_allclose(values, 0.5, atol=1e-5)
    assert notes == {"classifier_hq knows no word": 2}


@given(st.text())
def test_a_prepared_text_is_one_line_that_fasttext_reads_to_its_end(text: str) -> None:
    for normalize in ("words", "none"):
        line = prepare(text, normalize, 1000)  # type: ignore[arg-type]
        assert "\n" not in line and "\0" not in line
        assert "</s>" not in line.split()


def test_words_are_cut_as_documented() -> None:
    assert prepare("Don't STOP!", "words", 100).split() == ["don", "'", "t", "stop", "!"]
    assert prepare("漢字です。ok", "words", 100).split() == ["漢", "字", "で", "す", "。", "ok"]
    assert prepare("한국어 텍스트", "words", 100).split() == ["한국어", "텍스트"]
    assert prepare("हिन्दी।", "words", 100).split() == ["हिन्दी", "।"], "vowel signs are no punctuation"
    assert prepare("ที่นี่", "words", 100).split() == ["ที่", "นี่"], "marks stay with their letter"
    assert prepare("abcdef", "none", 3) == "abc"


def test_every_problem_of_a_classifier_is_told_with_its_place(tmp_path: Path) -> None:
    path = model_file(tmp_path)
    (tmp_path / "broken.bin").write_bytes(path.read_bytes()[:-5])
    config = tmp_path / "config.yaml"
    config.write_text(
        "clean:\n  classifiers:\n"
        f"    - {{name: a, model: {path}, label: __label__hp}}\n"
        f"    - {{name: a, model: {tmp_path}/none.bin}}\n"
        f"    - {{name: b, model: {tmp_path}/broken.bin}}\n"
        f"    - {{name: c, model: {tmp_path}/none.bin, enabled: false}}\n"
    )
    found = classifier.problems(load(str(config), []))
    whats = [problem.what for problem in found]
    assert len(found) == 4, whats
    assert "did you mean __label__hq?" in found[0].hint and found[0].where.endswith("clean.classifiers.0.label")
    assert "two classifiers are named 'a'" in whats[1]
    assert "No such file" in whats[2] and "config.yaml:4" in found[2].where
    assert "cut off" in whats[3]


def test_bounds_that_keep_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="nothing would be kept"):
        Classifier(name="a", model="m", min=0.6, max=0.4)


def test_the_rules_of_the_table_are_the_bounds_that_are_set(tmp_path: Path) -> None:
    low = Classifier(name="hq", model="m.bin", min=0.3)
    high = Classifier(name="toxic", model="m.bin", max=0.2)
    seen = Classifier(name="seen", model="n.bin")
    off = Classifier(name="off", model="o.bin", min=0.1, enabled=False)
    config = Clean(classifiers=[low, high, seen, off])
    rows = [(rule.reason, rule.section, rule.low, rule.high) for rule in classifier.rules(config)]
    assert rows[:2] == [
        ("classifier_hq_low", "classifiers.0", "min", None),
        ("classifier_toxic_high", "classifiers.1", None, "max"),
    ]
    assert stage.files(config) == [
        ("classifier_hq", Path("m.bin")), ("classifier_toxic", Path("m.bin")), ("classifier_seen", Path("n.bin")),
    ]  # fmt: skip
    assert "min" not in classifier.settings(config)[0], "thresholds decide later"
