"""Loss and perplexity on the validation split: always the same windows, whatever the layout."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from pathlib import Path

import numpy as np
import torch

from configs.schema.tree import Config
from pretrain.baseline import unigram_cross_entropy
from pretrain.data.stream import SampleStream
from pretrain.model.loss import IGNORE
from pretrain.parallel.engine import Engine
from pretrain.parallel.layout import Layout


@dataclass(frozen=True)
class Evaluation:
    """loss: mean over `tokens` counted tokens, nats per token."""

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that overflows."""
        return exp(self.loss) if self.loss < 700 else float("inf")


def share(windows: np.ndarray, layout: Layout, dp_rank: int) -> np.ndarray:
    """A rank's rows of `windows` [count, sequence + 1]: int64 [passes, micro_batch, sequence + 1].

    Every rank makes as many passes; what is missing in the last is filled up with IGNORE, which counts nothing.
    """
    rows = layout.micro_batch * layout.dp
    passes = -(-len(windows) // rows)
    padded = np.full((passes * rows, windows.shape[1]), IGNORE, dtype=np.int64)
    padded[: len(windows)] = windows
    return np.ascontiguousarray(padded.reshape(passes, layout.dp, layout.micro_batch, -1)[:, dp_rank])


class Validation:
    """The first `eval.samples` windows of the validation split, or all of it where it is smaller."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self.config, self.engine = config, engine
        stream = SampleStream(
            Path(config.data.dir), "validation", config.train.seq_length, config.train.seed, config.data.blend,
            skip_short=True,
        )  # fmt: skip
        self.left_out = stream.left_out
        self.windows = stream.samples(0, min(config.eval.samples, stream.epoch_samples))
        self._batches = torch.from_numpy(share(self.windows, engine.layout, engine.ranks.dp_rank))

    def run(self) -> Evaluation:
        """Collective. Evaluates the model as it is now."""
        total, tokens = self.engine.evaluate(self._batches)
        return Evaluation(total / tokens, tokens)

    def unigram(self) -> Evaluation:
        """The frequency baseline on the same windows; every rank may call it, no collective."""
        labels = self.windows[:, 1:]
        return Evaluation(
            unigram_cross_entropy(Path(self.config.data.dir), labels, self.engine.shape.vocab_size), labels.size
        )
