"""From two labelled sets to a model file, with what it is worth on documents it has not seen."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import Problem, UserError
from data_pipeline.clean import fasttext_format
from data_pipeline.clean.classifier import Normalization
from data_pipeline.draw import lots
from data_pipeline.progress import Progress, amount, duration
from data_pipeline.shards.atomic import file_xxh3, whole_or_absent
from data_pipeline.train_classifier import examples, measure, sgd
from data_pipeline.train_classifier.features import dictionary, number

_TEXTS = 50_000
_LEAST = 10
"""Documents of each label below which nothing is trained."""


@dataclass(frozen=True)
class Settings:
    """label: without fastText's prefix; the other label is not_{label}. buckets 0: chosen from the texts. epochs 0: enough for
    50,000 texts in all, 5 to 100. test_share: of
    each label, held out and never trained on; 0: none."""

    label: str = "hq"
    text_field: str = "text"
    normalize: Normalization = "words"
    max_characters: int = 100_000
    epochs: int = 0
    rate: float = 0.5
    dimension: int = 32
    ngrams: int = 2
    min_n: int = 0
    max_n: int = 0
    buckets: int = 0
    min_count: int = 1
    seed: int = 0
    test_share: float = 0.1


@dataclass(frozen=True)
class Summary:
    """What was made, from what, and what it is worth. score: on the held-out documents; None without any."""

    model: str
    xxh3_128: str
    bytes: int
    label: str
    words: int
    buckets: int
    dimension: int
    training: dict[str, int]
    left_out: dict[str, dict[str, int]]
    normalize: str
    max_characters: int
    seconds: float
    score: measure.Score | None = field(default=None)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """The table of the held-out documents, and the lines of configuration that use the model."""
        lines = [f"model: {self.model}, {amount(self.bytes)}, {self.words:,} words, {self.buckets:,} buckets"]
        for kind, reasons in self.left_out.items():
            lines += [f"left out of {kind}: {count:,} x {reason}" for reason, count in sorted(reasons.items())]
        lines.append("trained on: " + ", ".join(f"{count:,} {kind}" for kind, count in self.training.items()))
        lines += self._table()
        lines += [
            "",
            "use it with:",
            "clean:",
            "  classifiers:",
            f"    - name: {re.sub('[^a-z0-9]+', '_', self.label.lower()).strip('_') or 'mine'}",
            f"      model: {self.model}",
            f"      label: {fasttext_format.LABEL_PREFIX}{self.label}",
            f"      normalize: {self.normalize}",
            *([f"      max_characters: {self.max_characters}"] if self.max_characters != 100_000 else []),
            "      min: 0.5  # keeps what scores at least this; `max` rejects what scores more",
        ]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        if self.score is None:
            return ["held out: nothing (--test-share 0): what the model is worth is not known"]
        score = self.score
        lines = [
            f"held out: {score.positives:,} positive, {score.negatives:,} negative",
            f"AUC {score.auc:.3f}, 95 % interval {max(0, score.auc - score.margin):.3f} to "
            f"{min(1, score.auc + score.margin):.3f} (0.5 is chance)",
            "",
            "  min   kept  precision  recall     F1  accuracy",
        ]
        for row in score.table:
            precision = "      -" if row.precision != row.precision else f"{row.precision:7.3f}"
            lines.append(
                f" {row.threshold:4.2f} {row.kept:6.1%}    {precision} {row.recall:7.3f} {row.f1:6.3f}   {row.accuracy:7.3f}"
            )
        return lines


def train(
    positive: Sequence[str], negative: Sequence[str], out: Path, settings: Settings, progress: Progress, force: bool
) -> Summary:
    """Writes the model to `out`, whole or not at all. The same files, settings and seed give the same bytes.

    positive, negative: paths and globs. Raises UserError with all problems before anything is read, and where the
    documents are too few.
    """
    begun = time.monotonic()
    files = _check(positive, negative, out, settings, force)
    sets = {}
    for kind, paths in files.items():
        with progress.stage(f"read {kind}", sum(path.stat().st_size for path in paths)) as stage:
            sets[kind] = examples.read(paths, settings.text_field, settings.normalize, settings.max_characters, stage)
    examples.part(sets["positive"], sets["negative"])
    texts, is_positive, held_out = _divide(sets, settings)
    training = np.flatnonzero(~held_out)
    if not settings.epochs:
        settings = replace(settings, epochs=min(100, max(5, _TEXTS // len(training))))
    tokens = number(texts)
    del texts
    for found in sets.values():
        found.texts = []
    known = dictionary(
        *(tokens, training, settings.min_count, settings.ngrams, settings.buckets, settings.min_n, settings.max_n)
    )
    if not known.rows:
        raise UserError(Problem("no word is left to learn", "--min-count", "lower it"))
    _room(out, known.rows * settings.dimension * 4)
    sgd.compile_for(tokens, known, settings.dimension)
    weights = _descend(tokens, known, training, is_positive, settings, progress)
    _write(out, tokens, known, training, is_positive, weights, settings)
    score = None
    if held_out.any():
        unseen = np.flatnonzero(held_out)
        score = measure.score(is_positive[unseen], sgd.predict(tokens, known, unseen, weights))
    return Summary(
        model=str(out),
        xxh3_128=file_xxh3(out),
        bytes=out.stat().st_size,
        label=settings.label,
        words=len(known.words),
        buckets=known.buckets,
        dimension=settings.dimension,
        training={
            "positive": int(is_positive[training].sum()),
            "negative": int((~is_positive[training]).sum()),
        },
        left_out={kind: found.left_out for kind, found in sets.items()},
        normalize=settings.normalize,
        max_characters=settings.max_characters,
        seconds=round(time.monotonic() - begun, 1),
        score=score,
    )


def _check(
    positive: Sequence[str], negative: Sequence[str], out: Path, settings: Settings, force: bool
) -> dict[str, list[Path]]:
    problems: list[Problem] = []
    files: dict[str, list[Path]] = {}
    for kind, entries in (("positive", positive), ("negative", negative)):
        try:
            files[kind] = examples.find(entries, f"--{kind}")
        except UserError as error:
            problems += error.problems
    for path in set(files.get("positive", ())) & set(files.get("negative", ())):
        problems.append(Problem(f"{path} is both positive and negative", "--positive and --negative", "name it once"))
    if out.is_dir():
        problems.append(Problem(f"{out} is a directory", "--out", f"name a file, such as {out / 'model.bin'}"))
    elif out.exists() and not force:
        problems.append(Problem(f"{out} exists", "--out", "choose another name, or replace it with --force"))
    if settings.max_n and not 1 <= settings.min_n <= settings.max_n:
        what = f"character n-grams of {settings.min_n} to {settings.max_n} characters make no sense"
        problems.append(Problem(what, "--minn and --maxn", "such as --minn 3 --maxn 5; --maxn 0 for none"))
    if problems:
        raise UserError(*problems)
    return files


def _divide(sets: dict[str, examples.Examples], settings: Settings) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """All texts; which are positive; which are held out: of each label those of the smallest lots."""
    texts: list[bytes] = []
    is_positive: list[np.ndarray] = []
    held_out: list[np.ndarray] = []
    few: list[Problem] = []
    for kind, found in sets.items():
        # The order of files must not matter, nor where the copies of a text stood.
        drawn = lots(settings.seed, found.texts)
        order = np.argsort(drawn, kind="stable").tolist()
        texts += [found.texts[index] for index in order]
        aside = round(settings.test_share * len(order))
        held_out.append(np.arange(len(order)) < aside)
        is_positive.append(np.full(len(order), kind == "positive"))
        if len(order) - aside < _LEAST:
            left = ", ".join(f"{count:,} x {reason}" for reason, count in sorted(found.left_out.items()))
            what = f"{len(order) - aside} documents to train on; at least {_LEAST} of each label are needed"
            few.append(Problem(f"{kind}: {what}", f"--{kind}", f"left out: {left}" if left else ""))
    if few:
        raise UserError(*few)
    return texts, np.concatenate(is_positive), np.concatenate(held_out)


def _descend(
    tokens: Any, known: Any, training: np.ndarray, is_positive: np.ndarray, settings: Settings, progress: Progress
) -> sgd.Weights:
    size = int(np.diff(tokens.starts)[training].sum())
    epoch_tokens, losses = 0, []
    epoch = 1
    begun = time.monotonic()
    with progress.stage("train", size * settings.epochs, "tokens") as stage:

        def told(by: int, loss: float) -> None:
            nonlocal epoch_tokens, epoch
            stage.advance(by)
            epoch_tokens += by
            losses.append(loss * by)
            if epoch_tokens >= size:
                # About ten of these lines, whatever the number of epochs.
                if epoch % max(1, settings.epochs // 10) == 0 or epoch == settings.epochs:
                    mean = sum(losses) / epoch_tokens
                    passed = duration(time.monotonic() - begun)
                    progress.say(f"train: epoch {epoch} of {settings.epochs}, loss {mean:.4f}, after {passed}")
                epoch, epoch_tokens = epoch + 1, 0
                losses.clear()

        return sgd.train(
            tokens,
            known,
            training,
            is_positive,
            settings.dimension,
            settings.epochs,
            settings.rate,
            settings.seed,
            told,
        )


def _write(
    out: Path, tokens: Any, known: Any, training: np.ndarray, is_positive: np.ndarray, weights: sgd.Weights, s: Settings
) -> None:
    prefix = fasttext_format.LABEL_PREFIX
    positives = int(is_positive[training].sum())
    labels = [
        (f"{prefix}{s.label}".encode(), positives),
        (f"{prefix}not_{s.label}".encode(), len(training) - positives),
    ]
    arguments = fasttext_format.Arguments(s.dimension, s.ngrams, "softmax", known.buckets, s.min_n, s.max_n)
    total = int(np.diff(tokens.starts)[training].sum()) + len(training)
    with whole_or_absent(out) as partial:
        fasttext_format.write(
            *(partial, arguments, known.words, labels, total, weights.inputs, weights.outputs, s.epochs, s.min_count)
        )


def _room(out: Path, size: int) -> None:
    existing = next(path for path in out.absolute().parents if path.exists())
    free = shutil.disk_usage(existing).free
    if free < size * 1.05:
        what = f"the model takes {amount(size)}, {amount(free)} are free in {existing}"
        raise UserError(Problem(what, "--out", "lower --dim or --buckets, or write to another disk"))
