"""A classifier from two labelled sets: deterministic, accounted for, and worth something on people's labels."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from configs.errors import UserError
from data_pipeline.clean.classifier import prepare
from data_pipeline.progress import Progress
from data_pipeline.train_classifier import features, measure, sgd
from data_pipeline.train_classifier.train import Settings, Summary, train
from tests.conftest import Cli

GOOD = [f"A careful report about rivers and valleys, part {number}." for number in range(60)]
BAD = [f"buy pills cheap {number} click here!!!" for number in range(50)]


def files(folder: Path) -> tuple[Path, Path]:
    good, bad = folder / "good.jsonl.gz", folder / "bad.txt"
    with gzip.open(good, "wt") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in GOOD)
    bad.write_text("\n".join(BAD))
    return good, bad


def run(folder: Path, out: str = "model.bin", **settings: object) -> Summary:
    good, bad = folder / "good.jsonl.gz", folder / "bad.txt"
    chosen = Settings(**{"epochs": 20, **settings})  # type: ignore[arg-type]
    return train([str(good)], [str(bad)], folder / out, chosen, Progress(quiet=True), force=True)


def test_the_same_files_and_seed_give_the_same_bytes_in_any_order_of_lines(tmp_path: Path) -> None:
    _, bad = files(tmp_path)
    first = run(tmp_path)
    assert run(tmp_path, "again.bin").xxh3_128 == first.xxh3_128
    bad.write_text("\n".join(reversed(BAD)))
    assert run(tmp_path, "turned.bin").xxh3_128 == first.xxh3_128
    assert run(tmp_path, "other.bin", seed=1).xxh3_128 != first.xxh3_128


def test_every_line_is_trained_on_held_out_or_counted_as_left_out(tmp_path: Path) -> None:
    good, bad = files(tmp_path)
    with gzip.open(good, "at") as file:
        file.write('\n{"text": 5}\n{"other": "x"}\nno json\n{"text": "  "}\n')
        file.write(json.dumps({"text": GOOD[0]}) + "\n" + json.dumps({"text": BAD[0]}) + "\n")
    with bad.open("ab") as raw:
        raw.write(b"\n\xff\xfe\n")
    found = run(tmp_path, test_share=0.2)
    assert found.left_out == {
        "positive": {
            "blank line": 1, "no text in 'text'": 2, "not JSON": 1, "empty text": 1, "copy of another": 1,
            "under both labels": 1,
        },
        "negative": {"invalid UTF-8": 1, "under both labels": 1},
    }  # fmt: skip
    assert found.score is not None
    assert found.training["positive"] + found.score.positives == 60
    assert found.training["negative"] + found.score.negatives == 49
    assert (found.score.positives, found.score.negatives) == (12, 10)


def test_words_of_held_out_documents_stay_unknown_to_the_model(tmp_path: Path) -> None:
    files(tmp_path)
    run(tmp_path, test_share=0.5, normalize="none")
    data = (tmp_path / "model.bin").read_bytes()
    stored = sum(f"{number}.".encode() + b"\0" in data for number in range(10, 60))
    assert 15 <= stored <= 35, "half of the documents, each with a number of its own"


def test_rows_that_training_never_touched_are_zero() -> None:
    """An n-gram never met must weigh nothing."""
    tokens = features.number([b"a b", b"c d"])
    known = features.dictionary(tokens, np.arange(2), 1, 2, 4096, 0, 0)
    positive = np.array([True, False])
    weights = sgd.train(tokens, known, np.arange(2), positive, 8, 3, 0.5, 0, lambda by, loss: None)
    assert 5 < np.count_nonzero(weights.inputs.any(axis=1)) <= 9


def test_the_measures_are_those_of_the_definitions() -> None:
    positive = np.array([True, True, False, False])
    assert measure.area(positive, np.array([0.9, 0.8, 0.2, 0.1]))[0] == 1
    assert measure.area(positive, np.array([0.9, 0.2, 0.2, 0.1]))[0] == pytest.approx(0.875), "a tie counts half"
    row = measure.at(positive, np.array([0.9, 0.4, 0.6, 0.1]), 0.5)
    assert (row.kept, row.precision, row.recall, row.f1, row.accuracy) == (0.5, 0.5, 0.5, 0.5, 0.5)
    assert np.isnan(measure.at(positive, np.zeros(4), 0.5).precision)


def test_all_mistakes_are_told_before_anything_is_read(tmp_path: Path) -> None:
    good, _ = files(tmp_path)
    out = tmp_path / "there.bin"
    out.write_text("x")
    settings = Settings(min_n=5, max_n=3)
    with pytest.raises(UserError) as raised:
        train([str(good), "missing*"], [str(tmp_path)], out, settings, Progress(quiet=True), force=False)
    told = str(raised.value)
    for part in ("no such file: missing*", "not a file", "there.bin exists", "5 to 3 characters"):
        assert part in told
    assert out.read_text() == "x"


def test_too_few_documents_are_refused_with_what_was_left_out(tmp_path: Path) -> None:
    files(tmp_path)
    (tmp_path / "bad.txt").write_text("one\none\ntwo\n")
    with pytest.raises(UserError, match="at least 10 of each label") as raised:
        run(tmp_path)
    assert "1 x copy of another" in str(raised.value)
    assert not (tmp_path / "model.bin").exists()


def test_the_command_prints_progress_the_table_and_a_configuration_that_works(tmp_path: Path, run_cli: Cli) -> None:
    good, bad = files(tmp_path)
    command = ("data", "train-classifier", "--positive", good, "--negative", bad, "--out", tmp_path / "m.bin")
    done = run_cli(*command, "--label", "Clean-1", "--minn", "2", "--maxn", "3")
    assert done.returncode == 0, done.stderr
    assert "epoch" in done.stderr and "tokens/s" in done.stderr
    for part in ("AUC 1.000", "precision", "recall", "F1", "held out: 6 positive, 5 negative"):
        assert part in done.stdout
    (tmp_path / "config.yaml").write_text(done.stdout.split("use it with:\n")[1])
    shown = run_cli("config", "config.yaml")
    assert shown.returncode == 0 and "label: __label__Clean-1" in shown.stdout, shown.stderr
    refused = run_cli(*command, "--normalize", "stems")
    assert refused.returncode == 2 and "words or none" in refused.stderr


# What classifiers are worth on labels by people: `pytest -s -k people tests/data_pipeline/test_train_classifier.py`.


def folds(texts: list[str], positive: np.ndarray, parts: int, seeds: int, **shape: int) -> Iterator[tuple]:
    """(held-out texts, their scores by a model of the other parts), for each seed and part."""
    tokens = features.number(prepare(text, "words", 100_000).encode() for text in texts)
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(texts))
        for part in range(parts):
            unseen = order[part::parts]
            learnt = np.setdiff1d(order, unseen)
            known = features.dictionary(
                tokens, learnt, 1, shape.get("ngrams", 2), 0, shape.get("min_n", 0), shape.get("max_n", 0)
            )
            epochs = min(100, max(5, 50_000 // len(learnt)))
            weights = sgd.train(tokens, known, learnt, positive, 32, epochs, 0.5, seed, lambda by, loss: None)
            yield unseen, sgd.predict(tokens, known, unseen, weights)


def worth(name: str, positive: np.ndarray, found: list[tuple]) -> tuple[float, float]:
    """Mean AUC and accuracy over the parts; prints them with the standard deviation between seeds' parts."""
    areas = np.array([measure.area(positive[unseen], scores)[0] for unseen, scores in found])
    right = np.array([((scores >= 0.5) == positive[unseen]).mean() for unseen, scores in found])
    print(
        f"\n{name}: AUC {areas.mean():.3f} (deviation of a part {areas.std():.3f}), "
        f"accuracy {right.mean():.3f} ({right.std():.3f}), {len(found)} models"
    )
    return float(areas.mean()), float(right.mean())


def test_people_s_judgement_of_quality_is_learnt_where_gopher_s_rules_hardly_see_it(corpora: Path) -> None:
    """Trained on half of 246 documents, measured on the other half, and the other way round."""
    from configs.schema.clean import Clean
    from data_pipeline.clean import heuristics, rules

    with gzip.open(corpora / "quality" / "dclm-human-labels" / "majority_data.jsonl.gz", "rt") as file:
        rows = {row["text"]: row["label"] == 1 for row in map(json.loads, file)}
    texts, good = list(rows), np.array(list(rows.values()))
    area, accuracy = worth("dclm-human-labels", good, list(folds(texts, good, 2, 5)))
    signals = heuristics.measure(pa.array(texts, pa.large_string()), ["en"] * len(texts), Clean()).signals
    kept = rules.judge(signals, rules.in_force(Clean()), Clean())[0] < 0
    gopher = measure.area(good, kept.astype(float))[0]
    chance = max(good.mean(), 1 - good.mean())
    print(
        f"Gopher: AUC {gopher:.3f}, accuracy {(kept == good).mean():.3f}; chance: 0.5, {chance:.3f}; {len(good)} documents"
    )
    assert area > 0.78 and area > gopher + 0.1
    assert accuracy > chance + 0.08


def test_people_s_judgement_of_toxicity_is_learnt(corpora: Path) -> None:
    with (corpora / "quality" / "surge-toxicity" / "toxicity_en.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["text"]: row["is_toxic"] == "Toxic" for row in csv.DictReader(file)}
    texts, toxic = list(rows), np.array(list(rows.values()))
    words, _ = worth("surge-toxicity, words", toxic, list(folds(texts, toxic, 5, 1)))
    characters, accuracy = worth(
        "surge-toxicity, minn 3 maxn 5", toxic, list(folds(texts, toxic, 5, 1, min_n=3, max_n=5))
    )
    assert words > 0.83 and characters > 0.88 and accuracy > 0.78
