"""Small corpora for the tests of this folder, written by the real ShardWriter."""

from pathlib import Path

import numpy as np

from data_pipeline.shards.manifest import Manifest, shard_path, write_manifest
from data_pipeline.shards.writer import ShardWriter

END = 2


def write_corpus(
    directory: Path, splits: dict[str, dict[str, list[list[int]]]], vocab_size: int = 1000, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """splits: split -> source -> shards -> lengths of documents, end-of-document id included.

    Returns split -> source -> all its tokens, end to end: what the reader has to show.
    """
    rng = np.random.default_rng(seed)
    entries: dict[str, list] = {}
    truth: dict[str, dict[str, np.ndarray]] = {}
    for split, sources in splits.items():
        entries[split], truth[split] = [], {}
        for source, shards in sources.items():
            stream = []
            for index, lengths in enumerate(shards):
                path = directory / shard_path(source, split, index)
                with ShardWriter(path, source, split, vocab_size, END, "none") as writer:
                    for length in lengths:
                        tokens = rng.integers(3, vocab_size, length - 1)
                        writer.append(rng.bytes(16), "", tokens)
                        stream += [*tokens.tolist(), END]
                    entries[split].append(writer.close())
            truth[split][source] = np.array(stream)
    write_manifest(directory, Manifest(entries, vocab_size, END, "tokenizer/tokenizer.model", "none"))
    return truth
