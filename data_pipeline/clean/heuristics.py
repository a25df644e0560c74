"""Lines removed and signals measured, over one segmentation of each document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from configs.schema.clean import Clean
from data_pipeline.clean import gopher_quality
from data_pipeline.clean.segmentation import Segmentation

RULE_VERSION = 1
LIBRARIES: tuple[str, ...] = ()
SIGNALS: tuple[str, ...] = ("unspaced_share", *gopher_quality.SIGNALS)


@dataclass
class Heuristics:
    """texts: large_string, after removal of lines ("" where none is left). signals: float64 [documents] by name, of
    those texts; NaN: says nothing of the document. notes: counts of lines by why they were removed."""

    texts: pa.LargeStringArray
    signals: dict[str, np.ndarray]
    notes: dict[str, int]


def settings(config: Clean) -> dict[str, Any]:
    """The keys that decide texts and signals, as JSON; thresholds of whole documents are not among them."""
    return {}


def measure(texts: pa.LargeStringArray, languages: Sequence[str], config: Clean) -> Heuristics:
    """languages: code of each document, "" where unknown."""
    signals = {name: np.zeros(len(texts)) for name in SIGNALS}
    for index, text in enumerate(texts.to_pylist()):
        segmented = Segmentation(text)
        for name, signal in gopher_quality.SIGNALS.items():
            signals[name][index] = signal(segmented)
    return Heuristics(texts, signals, {})
