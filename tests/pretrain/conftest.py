"""A small corpus with a real tokenizer, and a training config of a few seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from configs.schema.data import Tokenizer
from data_pipeline.shards.manifest import Manifest, write_manifest
from data_pipeline.shards.writer import ShardWriter
from data_pipeline.tokenize.codec import Codec
from data_pipeline.tokenize.train import train as train_tokenizer

WORDS = "the mill turns water into work and the race carries water to the wheel by day and by night".split()  # noqa: SIM905


def text(rng: np.random.Generator) -> str:
    return " ".join(f"{WORDS[i]}{rng.integers(0, 10)}" for i in rng.integers(0, len(WORDS), 120)) + "\n"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus with a real tokenizer; enough for a few epochs of nothing."""
    out = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    texts = [text(rng) for _ in range(120)]
    model, _ = train_tokenizer(texts, Tokenizer(vocab_size=400, model_type="bpe"))
    (out / "tokenizer").mkdir()
    (out / "tokenizer" / "tokenizer.model").write_bytes(model)
    codec = Codec(model)
    splits = {}
    for split, part in (("train", texts[:100]), ("validation", texts[100:])):
        path = out / "shards" / split / "words-00000.arrow"
        writer = ShardWriter(path, "words", split, codec.vocab_size, codec.end_of_document, codec.hash)
        for i, document in enumerate(part):
            writer.append(i.to_bytes(16, "big"), f"https://example.org/{i}", codec.encode(document))
        splits[split] = [writer.close()]
    write_manifest(
        out,
        Manifest(splits, codec.vocab_size, codec.end_of_document, "tokenizer/tokenizer.model", codec.hash, len(model)),
    )
    return out


@pytest.fixture
def config(tmp_path: Path, corpus: Path) -> Path:
    """A training config of a few seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({
        "model": {"num_layers": 2, "hidden_size": 32, "num_heads": 2},
        "train": {"steps": 12, "global_batch": 8, "micro_batch": 2, "seq_length": 32},
        "optimizer": {"lr": 0.01}, "schedule": {"warmup_steps": 3},
        "checkpoint": {"every": 4}, "eval": {"every": 6, "samples": 10}, "tracking": {"uri": "none"},
        "data": {"dir": str(corpus)}, "run": {"dir": str(tmp_path / "run")},
    }))  # fmt: skip
    return path
