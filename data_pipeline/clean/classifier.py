"""Probabilities by fastText classifiers of the user: quality (as in DCLM, Li et al. 2024, section 4.4), toxicity (as in
Dolma, Soldaini et al. 2024, section 3.1.3), or anything else two sets of documents tell apart.

`millrace data train-classifier` makes such a model. Predictions are those of the library fasttext-predict, on files that
`fasttext_format.inspect` has found sound.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from configs.errors import Problem, UserError
from configs.loader import Loaded
from configs.schema.classifier import Classifier
from configs.schema.clean import Clean
from data_pipeline.clean import fasttext_format
from data_pipeline.clean.rule import Rule

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ("fasttext-predict",)
SOURCE = "Li et al. 2024 (DCLM), section 4.4; Soldaini et al. 2024 (Dolma), section 3.1.3"

Normalization = Literal["words", "none"]

# Punctuation and symbols of ASCII, Latin-1, the general blocks, CJK, full width, Arabic and Devanagari; then letters of
# scripts written without blanks (Thai, Lao, Burmese, Khmer with their marks; kana, Han).
_APART = re.compile(
    "[!-/:-@\\[-`{-~\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u060c\u061b\u061f\u066a-\u066d\u06d4"
    "\u0964\u0965\u2010-\u205e\u20a0-\u20cf\u2100-\u2bff\u3000-\u3030\ufe10-\ufe6b\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40"
    "\uff5b-\uff65\U0001f000-\U0001faff]"
    "|[\u0e01-\u0e30\u0e32-\u0e33\u0e3f-\u0e46\u0e81-\u0eb0\u0eb2-\u0eb3\u0ebd-\u0ec6\u1000-\u102a\u1780-\u17b3]"
    "[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3]*"
    "|[\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)

# The same on ASCII, at twice the speed.
_ASCII_APART = re.compile("[!-/:-@\\[-`{-~]")


def prepare(text: str, normalize: Normalization, max_characters: int) -> str:
    """The line that a model reads, in training and here: the first `max_characters` of the text without line ends.

    "none": as it is, which suits models trained elsewhere. "words": small letters, and a blank on each side of every
    punctuation mark and of every character of scripts that have no blanks between words; word n-grams are then
    character n-grams in Chinese, Japanese or Thai.
    """
    text = text[:max_characters]
    if normalize == "words":
        text = (_ASCII_APART if text.isascii() else _APART).sub(_blanks_around, text.lower())
    text = text.replace("\n", " ").replace("\0", " ")
    # fastText takes this token for the end of the text: whatever stands behind it would not be read.
    return text.replace("</s>", "< /s>")


def _blanks_around(found: re.Match[str]) -> str:
    return f" {found[0]} "  # as a function: a template costs twice the time


def signal(classifier: Classifier) -> str:
    """Name of the column."""
    return f"classifier_{classifier.name}"


def in_force(config: Clean) -> list[Classifier]:
    """The classifiers that are enabled, in order."""
    return [classifier for classifier in config.classifiers if classifier.enabled]


def forget() -> None:
    """Models are read again when they are next needed."""
    _load.cache_clear()


def settings(config: Clean) -> list[dict[str, Any]]:
    """The keys that decide the signals, as JSON; the models are known by their hashes."""
    keys = {"name", "label", "normalize", "max_characters"}
    return [classifier.model_dump(mode="json", include=keys) for classifier in in_force(config)]


def rules(config: Clean) -> tuple[Rule, ...]:
    """What the thresholds refuse: the rows for the table of rules. Their section is `classifiers.{index}`."""
    found: list[Rule] = []
    for index, classifier in enumerate(config.classifiers):
        place = f"classifiers.{index}"
        name = signal(classifier)
        if classifier.min is not None:
            found.append(Rule(f"{name}_low", name, place, "min", None, SOURCE))
        if classifier.max is not None:
            found.append(Rule(f"{name}_high", name, place, None, "max", SOURCE))
    return tuple(found)


def problems(loaded: Loaded) -> list[Problem]:
    """Models that are missing or unsound, labels they do not have, names given twice; each with the place to mend."""
    found: list[Problem] = []
    names: set[str] = set()
    for index, classifier in enumerate(loaded.config.clean.classifiers):
        place = f"clean.classifiers.{index}"
        if classifier.name in names:
            what = f"two classifiers are named {classifier.name!r}: their signals could not be told apart"
            found.append(Problem(what, loaded.where(f"{place}.name"), "give each a name of its own"))
        names.add(classifier.name)
        if not classifier.enabled:
            continue
        try:
            labels = fasttext_format.inspect(Path(classifier.model).expanduser()).labels
        except UserError as error:
            where = loaded.where(f"{place}.model")
            found += [Problem(f"{problem.what}: {problem.where}", where, problem.hint) for problem in error.problems]
            continue
        if classifier.label not in labels:
            near = difflib.get_close_matches(classifier.label, labels, n=1, cutoff=0.3)
            known = ", ".join(labels[:8]) + (f" and {len(labels) - 8:,} more" if len(labels) > 8 else "")
            hint = f"did you mean {near[0]}? " if near else ""
            what = f"the model {classifier.model} has no label {classifier.label!r}"
            found.append(Problem(what, loaded.where(f"{place}.label"), f"{hint}its labels: {known}"))
    return found


def measure(
    texts: pa.LargeStringArray, classifiers: Sequence[Classifier], notes: dict[str, int]
) -> dict[str, np.ndarray]:
    """float64 [documents] from 0 to 1 for each classifier, by the name of its signal.

    A text of which a model knows nothing gets what fastText gives an empty sum: 1 / number of labels; notes count such
    documents. Classifiers that read the same model in the same way share its prediction.
    """
    signals = {signal(classifier): np.zeros(len(texts), np.float64) for classifier in classifiers}
    groups: dict[tuple[Path, Normalization, int], list[Classifier]] = {}
    for classifier in classifiers:
        key = (Path(classifier.model).expanduser(), classifier.normalize, classifier.max_characters)
        groups.setdefault(key, []).append(classifier)
    for (path, normalize, max_characters), members in groups.items():
        model = _load(path)
        for index, text in enumerate(texts):
            line = prepare(text.as_py(), normalize, max_characters)
            scores = model.scores(line)
            for classifier in members:
                if scores is None:
                    value = 1 / model.labels
                    note = f"{signal(classifier)} knows no word"
                    notes[note] = notes.get(note, 0) + 1
                else:
                    value = scores.get(classifier.label, 0.0)
                signals[signal(classifier)][index] = value
    return signals


class Model:
    """A sound model, loaded. labels: how many it has."""

    def __init__(self, path: Path) -> None:
        inspection = fasttext_format.inspect(path)
        import fasttext

        self.labels = len(inspection.labels)
        # The library adds 1e-5 to each probability before its logarithm, and to each turn in a tree of labels.
        self._surplus = 0.0 if inspection.arguments.loss == "hs" else 1e-5
        self._model = fasttext.load_model(str(path))

    def scores(self, line: str) -> dict[str, float] | None:
        """Probability by label of a prepared line; None where the model knows nothing of it."""
        labels, values = self._model.predict(line, k=-1)
        if not labels:
            return None
        surplus = self._surplus
        return {label: min(1.0, max(0.0, value - surplus)) for label, value in zip(labels, values, strict=True)}


@cache
def _load(path: Path) -> Model:
    return Model(path)
