"""How well a classifier tells held-out documents apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class At:
    """What keeping documents from `threshold` up does. kept: share of all. precision: of the kept, the share that is
    positive (nan: none kept). recall: of the positive, the share kept. f1: their harmonic mean."""

    threshold: float
    kept: float
    precision: float
    recall: float
    f1: float
    accuracy: float


@dataclass(frozen=True)
class Score:
    """auc: the chance that a positive document scores above a negative one (ties count half). margin: half the width of
    its 95 % interval (Hanley and McNeil 1982)."""

    positives: int
    negatives: int
    auc: float
    margin: float
    table: tuple[At, ...]


def area(positive: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve, and half the width of its 95 % interval. positive: bool [documents]. NaN without
    documents of both kinds."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return math.nan, math.nan
    low = np.sort(scores[~positive])
    below = np.searchsorted(low, scores[positive], "left") + np.searchsorted(low, scores[positive], "right")
    auc = float(below.sum()) / (2 * n * m)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (m - 1) * (q2 - auc**2)) / (n * m)
    return auc, 1.96 * math.sqrt(max(0.0, variance))


def at(positive: np.ndarray, scores: np.ndarray, threshold: float) -> At:
    kept = scores >= threshold
    hits, chosen, wanted = int((kept & positive).sum()), int(kept.sum()), int(positive.sum())
    return At(
        threshold=threshold,
        kept=chosen / max(1, len(scores)),
        precision=hits / chosen if chosen else math.nan,
        recall=hits / wanted if wanted else math.nan,
        f1=2 * hits / (chosen + wanted) if chosen + wanted else math.nan,
        accuracy=float((kept == positive).mean()) if len(scores) else math.nan,
    )


def score(positive: np.ndarray, scores: np.ndarray) -> Score:
    """positive: bool [documents], scores: float64 [documents] from 0 to 1."""
    auc, margin = area(positive, scores)
    table = tuple(at(positive, scores, threshold) for threshold in THRESHOLDS)
    return Score(int(positive.sum()), int((~positive).sum()), auc, margin, table)
