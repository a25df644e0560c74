"""What a model must beat: the cross-entropy of a unigram model, which knows only how frequent each token is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_pipeline.shards import ShardCache, load_manifest

MAX_TOKENS = 64_000_000


def unigram_cross_entropy(corpus: Path, labels: np.ndarray, vocab_size: int) -> float:
    """Nats per token of `labels` (any shape, int64) under token frequencies of the train split, plus one (Laplace).

    Frequencies come from the first tokens of every train shard, MAX_TOKENS in all at the most.
    """
    manifest = load_manifest(corpus)
    entries = manifest.splits.get("train", [])
    share = max(1, MAX_TOKENS // max(1, len(entries)))
    cache = ShardCache()
    counts = np.ones(vocab_size, dtype=np.int64)
    for entry in entries:
        counts += np.bincount(cache.get(corpus / entry.path).tokens[:share], minlength=vocab_size)[:vocab_size]
    log_probability = np.log(counts) - np.log(counts.sum())
    return float(-log_probability[labels.reshape(-1)].mean())
