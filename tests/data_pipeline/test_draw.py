"""Lots: fixed for ever by golden values, and the sample a tokenizer is trained on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import xxhash

from configs.schema.data import Split as Shares
from configs.schema.source import Source
from configs.schema.tree import Config
from data_pipeline import balance, splits
from data_pipeline.dedup import signatures
from data_pipeline.dedup.decisions import decide
from data_pipeline.documents import content_hash, document_id
from data_pipeline.draw import fractions, lots
from data_pipeline.pool import Job
from data_pipeline.progress import Progress
from data_pipeline.shards.schema import SPLITS
from data_pipeline.tokenize.sample import draw_sample, read_sample
from data_pipeline.units import Unit
from tests.data_pipeline.test_dedup import unit, write_documents

CONFIG = Config(
    sources=[Source(name="s", type="jsonl", paths=["x"])], split=Shares(validation=0.2, test=0.1), data={"seed": 5}
)


def test_lots_have_golden_values() -> None:
    assert lots(0, [b""]).tolist() == [0x2D06800538D394C2]  # XXH3_64bits of nothing, from the specification
    assert lots(7, [bytes(range(16))]).tolist() == [17152961952304254961]
    assert lots(2**64 + 7, [b"a"]).tolist() == lots(7, [b"a"]).tolist()
    assert fractions(0, [b""]).tolist() == [0x2D06800538D394C2 / 2**64]


def prepared(out: Path, corpus: dict[Unit, list[str]]) -> list[Unit]:
    """The corpus up to its lots."""
    jobs = [Job(CONFIG, out, which) for which in corpus]
    for which, texts in corpus.items():
        write_documents(out, which, texts)
    quiet = Progress(quiet=True)
    decided = decide(out, list(corpus), [signatures.process(job) for job in jobs], CONFIG.dedup, quiet)
    balance.decide(out, list(corpus), decided, CONFIG, quiet)
    for job in jobs:
        splits.process(job)
    return list(corpus)


def made_up(units: int, documents: int) -> dict[Unit, list[str]]:
    rng = random.Random(units)
    return {unit("s", u): [f"{rng.random()} " * rng.randint(1, 9) for _ in range(documents)] for u in range(units)}


@pytest.mark.parametrize("train_bytes", [1, 900, 5_000, 10**9])
def test_the_sample_is_the_training_documents_of_smallest_lot_in_order_of_id(tmp_path: Path, train_bytes: int) -> None:
    corpus = made_up(3, 40)
    units = prepared(tmp_path, corpus)
    rows = []
    for which, texts in corpus.items():
        for offset, text in enumerate(texts):
            u = xxhash.xxh3_64_intdigest(content_hash(text), seed=5) / 2**64
            if u >= 0.1 + 0.2:
                doc_id = document_id("s", which.relative_path, offset)
                rows.append((xxhash.xxh3_64_intdigest(doc_id, seed=5), doc_id, text))
    expected, size = [], 0
    for _, doc_id, text in sorted(rows):
        if size < train_bytes:
            expected.append((doc_id, text))
            size += len(text.encode())
    sample = draw_sample(tmp_path, units, train_bytes)
    assert [row.tobytes() for row in sample.id] == [doc_id for doc_id, _ in sorted(expected)]
    assert list(read_sample(tmp_path, units, sample)) == [text for _, text in sorted(expected)]
    assert sample.bytes == size
    assert draw_sample(tmp_path, units, train_bytes).hash == sample.hash


def test_the_splits_have_about_their_shares_and_leave_out_the_rejected(tmp_path: Path) -> None:
    corpus = made_up(2, 2000)
    corpus[unit("s", 1)][:500] = corpus[unit("s", 0)][:500]  # copies
    units = prepared(tmp_path, corpus)
    first, second = (splits.read_lots(tmp_path, which) for which in units)
    assert (second.split[:500] == splits.LEFT_OUT).all() and (second.split[500:] < splits.LEFT_OUT).all()
    shares = np.bincount(first.split, minlength=3) / len(first.split)
    expected = {"train": 0.7, "validation": 0.2, "test": 0.1}
    assert np.abs(shares - [expected[name] for name in SPLITS]).max() < 0.04
    assert first.bytes.tolist() == [len(text) for text in corpus[units[0]]]


def test_an_empty_unit_and_an_empty_corpus_give_an_empty_sample(tmp_path: Path) -> None:
    units = prepared(tmp_path, {unit("s", 0): ["a"] * 3, unit("s", 1): ["a"]})
    assert len(draw_sample(tmp_path, units, 10**6).row) <= 1
    assert len(draw_sample(tmp_path, [], 10**6).row) == 0
