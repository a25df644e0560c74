"""Which token comes next: the most likely, or one drawn from what temperature, top-k and top-p leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. The cuts apply in this order, each to what the one before left.

    temperature: logits are divided by it; 0 takes the most likely token, whatever else is set.
    top_k: only the k most likely tokens (Fan et al. 2018, section 5); 0: all.
    top_p: only the fewest most likely tokens that hold probability p together (Holtzman et al. 2020, section 3.1).
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0


def probabilities(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Probability of each token: float64 [vocabulary], sum 1. Of equally likely tokens the lower id is kept first."""
    logits = logits.astype(np.float64)
    if sampling.temperature == 0:
        return np.eye(1, logits.size, int(logits.argmax()))[0]
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
    with np.errstate(over="ignore"):  # a temperature near 0: -inf, probability 0
        kept = np.exp((logits[order] - logits[order[0]]) / sampling.temperature)
    kept /= kept.sum()
    if sampling.top_p < 1:
        # The token that reaches p belongs to the set; the first always does.
        count = int(np.searchsorted(kept.cumsum(), sampling.top_p)) + 1
        order, kept = order[:count], kept[:count] / kept[:count].sum()
    result = np.zeros(logits.size)
    result[order] = kept
    return result


def draws(seed: int, number: int) -> np.random.Generator:
    """The source of chance of text `number` of those drawn with one seed."""
    return np.random.Generator(np.random.Philox([seed, number]))


def choose(logits: np.ndarray, sampling: Sampling, chance: np.random.Generator) -> int:
    """One token id. Takes one number of `chance` unless temperature is 0."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    cumulative = probabilities(logits, sampling).cumsum()
    return int(np.searchsorted(cumulative, chance.random() * cumulative[-1], side="right"))
