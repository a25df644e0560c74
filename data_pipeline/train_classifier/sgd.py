"""Training and prediction of a fastText classifier with two labels: the mean of a text's rows, times the label rows,
through a softmax (Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification", section 2).

One thread, and sums in a fixed order: the same inputs and seed give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data_pipeline.kernel import kernel
from data_pipeline.train_classifier.features import Dictionary, Tokens, longest, rows_of

_CALL_TOKENS = 200_000
"""Between two signs of progress: a fraction of a second."""


@dataclass
class Weights:
    """inputs: float32 [rows, dimension]. outputs: float32 [2, dimension]: positive, negative."""

    inputs: np.ndarray
    outputs: np.ndarray


def train(
    tokens: Tokens,
    known: Dictionary,
    texts: np.ndarray,
    positive: np.ndarray,
    dimension: int,
    epochs: int,
    rate: float,
    seed: int,
    told: Callable[[int, float], None],
) -> Weights:
    """Stochastic gradient descent over the texts numbered `texts`, in a new order each epoch, at a rate that falls
    linearly to 0.

    positive: bool [all texts]. told: called with the number of tokens done since the last call, and the mean loss (nats
    per text) over them. Rows that no text of these touches are zero: an n-gram never met weighs nothing, where fastText
    keeps its random start.
    """
    weights = Weights(_start(seed, known.rows, dimension), np.zeros((2, dimension), np.float32))
    scratch = np.empty(longest(tokens, known), np.int32)
    lengths = np.diff(tokens.starts)[texts]
    total = float(lengths.sum()) * epochs
    touched = np.zeros(known.rows, np.bool_)
    lots = np.random.Philox(key=seed % 2**64)
    done = 0
    if not epochs:
        _descend(
            *(tokens.ids, tokens.starts, texts, positive, *_tables(known)),
            *(weights.inputs, weights.outputs, 0.0, 0.0, scratch, touched),
        )
    for _ in range(epochs):
        order = np.argsort(lots.random_raw(len(texts)), kind="stable")
        for part in _parts(lengths[order]):
            some = order[part]
            size = int(lengths[some].sum())
            loss = _descend(
                *(tokens.ids, tokens.starts, texts[some], positive),
                *_tables(known),
                *(weights.inputs, weights.outputs, rate * (1 - done / total), rate / total, scratch, touched),
            )
            done += size
            told(size, loss / len(some))
    weights.inputs[~touched] = 0
    return weights


def compile_for(tokens: Tokens, known: Dictionary, dimension: int) -> None:
    """Has the loops compiled, which takes seconds once per installation, so that rates of training are its own."""
    nothing = np.zeros(0, np.int64)
    train(tokens, known, nothing, np.zeros(0, np.bool_), dimension, 0, 0.0, 0, lambda by, loss: None)


def predict(tokens: Tokens, known: Dictionary, texts: np.ndarray, weights: Weights) -> np.ndarray:
    """float64 [texts]: probability of the positive label; 0.5 for a text of which nothing is known."""
    scratch = np.empty(longest(tokens, known), np.int32)
    return _probabilities(tokens.ids, tokens.starts, texts, *_tables(known), weights.inputs, weights.outputs, scratch)


def _tables(known: Dictionary) -> tuple:
    words = len(known.words)
    return known.row, known.hashes, known.subwords, known.subword_starts, known.ngrams, known.buckets, words


def _start(seed: int, rows: int, dimension: int) -> np.ndarray:
    """Uniform from -1 / dimension to 1 / dimension, from the raw numbers of Philox (Salmon et al. 2011), which no
    version of numpy changes."""
    lots = np.random.Philox(key=(seed + 1) % 2**64)
    start = np.empty((rows, dimension), np.float32)
    step = max(1, (1 << 20) // dimension)
    for begin in range(0, rows, step):
        some = start[begin : begin + step]
        raw = (lots.random_raw(some.size) >> np.uint64(40)).astype(np.float32)  # 24 bits: exact
        some[:] = ((raw * np.float32(2**-23) - np.float32(1)) / np.float32(dimension)).reshape(some.shape)
    return start


def _parts(lengths: np.ndarray) -> list[slice]:
    """Runs of texts with about `_CALL_TOKENS` tokens."""
    ends = np.cumsum(lengths)
    if not len(ends):
        return []
    cuts = np.unique(np.searchsorted(ends, np.arange(_CALL_TOKENS, ends[-1], _CALL_TOKENS)) + 1)
    borders = [0, *(int(cut) for cut in cuts if cut < len(lengths)), len(lengths)]
    return [slice(a, b) for a, b in pairwise(borders)]


@kernel
def _forward(rows: np.ndarray, inputs: np.ndarray, outputs: np.ndarray, hidden: np.ndarray) -> tuple[float, float]:
    """Fills `hidden` with the mean of the rows; the probabilities of both labels."""
    hidden[:] = 0
    for row in rows:
        for k in range(len(hidden)):
            hidden[k] += inputs[row, k]
    share = np.float32(1.0 / len(rows))
    first, second = np.float32(0), np.float32(0)
    for k in range(len(hidden)):
        hidden[k] *= share
        first += outputs[0, k] * hidden[k]
        second += outputs[1, k] * hidden[k]
    most = max(first, second)
    a, b = np.exp(np.float64(first - most)), np.exp(np.float64(second - most))
    return a / (a + b), b / (a + b)


@kernel
def _descend(  # type: ignore[no-untyped-def]
    ids, starts, texts, positive, row, hashes, subwords, subword_starts, ngrams, buckets, words,
    inputs, outputs, rate, fall, scratch, touched,
):  # fmt: skip
    """One pass over `texts`; returns the sum of their losses. rate: of the first; fall: by which it falls per token."""
    dimension = inputs.shape[1]
    hidden, gradient = np.empty(dimension, np.float32), np.empty(dimension, np.float32)
    loss = 0.0
    for text in texts:
        some = ids[starts[text] : starts[text + 1]]
        number = rows_of(some, row, hashes, subwords, subword_starts, ngrams, buckets, words, scratch)
        here = np.float32(max(rate, 0.0))
        rate -= fall * len(some)
        if number == 0:
            loss += np.log(2.0)
            continue
        rows = scratch[:number]
        first, second = _forward(rows, inputs, outputs, hidden)
        loss -= np.log(max(first if positive[text] else second, 1e-12))
        towards = np.float32((1.0 if positive[text] else 0.0) - first) * here
        share = np.float32(1.0 / number)
        for k in range(dimension):
            gradient[k] = towards * (outputs[0, k] - outputs[1, k]) * share
            outputs[0, k] += towards * hidden[k]
            outputs[1, k] -= towards * hidden[k]
        for at in rows:
            touched[at] = True
            for k in range(dimension):
                inputs[at, k] += gradient[k]
    return loss


@kernel
def _probabilities(  # type: ignore[no-untyped-def]
    ids, starts, texts, row, hashes, subwords, subword_starts, ngrams, buckets, words, inputs, outputs, scratch
):  # fmt: skip
    found = np.empty(len(texts), np.float64)
    hidden = np.empty(inputs.shape[1], np.float32)
    for index in range(len(texts)):
        text = texts[index]
        some = ids[starts[text] : starts[text + 1]]
        number = rows_of(some, row, hashes, subwords, subword_starts, ngrams, buckets, words, scratch)
        found[index] = 0.5
        if number:
            found[index] = _forward(scratch[:number], inputs, outputs, hidden)[0]
    return found
