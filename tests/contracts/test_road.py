"""From raw lines to samples: the real pipeline, then the real reader, against the plain reference."""

import json
import random
import subprocess
import sys

import pytest
import sentencepiece

from configs.errors import UserError
from data_pipeline.shards import ShardReader, load_manifest
from pretrain.data.stream import SampleStream
from tests.contracts import reference

SEED, UNIT, S = 11, 64_000, 500
VALIDATION, TEST = 0.06, 0.05
SIZES = {"web/part-0.jsonl": 900_000, "web/part-1.jsonl": 500_000, "books.jsonl": 1_200_000, "code.jsonl": 950_000}
CONFIG = f"""
sources:
  - {{name: web, type: jsonl, paths: [raw/web/*.jsonl]}}
  - {{name: books, type: jsonl, paths: [raw/books.jsonl]}}
  - {{name: code, type: jsonl, paths: [raw/code.jsonl]}}
  - {{name: notes, type: jsonl, paths: [raw/notes.jsonl]}}
clean: {{repair: false, normalization: none, gopher_quality: {{enabled: false}}}}
tokenizer: {{vocab_size: 400, train_bytes: 100kB}}
split: {{validation: {VALIDATION}, test: {TEST}}}
shards: {{target_bytes: 256kB}}
data: {{dir: corpus, seed: {SEED}, unit_bytes: {UNIT}, workers: 2}}
"""


def write_raw(directory):
    """Lines of seeded nonsense, one in ten a copy of an earlier text with its white space changed. What the reference reads."""
    rng = random.Random(5)
    words = ["".join(rng.choices("aeioulnrst", k=rng.randint(2, 8))) for _ in range(800)]
    texts, records = [], {"web": [], "books": [], "code": [], "notes": []}
    for name, size in (SIZES | {"notes.jsonl": 1}).items():
        source = name.split("/")[0].removesuffix(".jsonl")
        relative = name.removeprefix("web/")
        path = directory / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while file.tell() < size:
                if texts and rng.random() < 0.1:
                    text = rng.choice(texts).replace(" ", rng.choice(["  ", "\n", "\t "]), 3)
                else:
                    text = " ".join(rng.choices(words, k=rng.choice([3, 40, 200, 900])))
                    texts.append(text)
                records[source].append((relative, file.tell(), text))
                file.write(json.dumps({"id": len(texts), "text": text}).encode() + b"\n")
    return records


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    directory = tmp_path_factory.mktemp("road")
    records = write_raw(directory)
    (directory / "data.yaml").write_text(CONFIG)
    command = [sys.executable, "-P", "-m", "millrace", "data", "run", "data.yaml"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = reference.shards(records, UNIT, 256_000 // 2 * 4, SEED, VALIDATION, TEST)
    kept = sum(len(documents) for shards in expected.values() for documents in shards)
    assert 0 < kept < 0.95 * sum(map(len, records.values()))  # copies there were, and the reference dropped them too
    assert {split for split, _ in expected} == {"train", "validation", "test"}
    processor = sentencepiece.SentencePieceProcessor(model_file=str(directory / "corpus/tokenizer/tokenizer.model"))
    return directory / "corpus", expected, processor


def test_shards_hold_the_documents_of_the_reference_in_its_order(road):
    corpus, expected, processor = road
    manifest = load_manifest(corpus)
    found = {(split, source): [] for split, source in expected}
    for split, entries in manifest.splits.items():
        for entry in entries:
            found[split, entry.source].append(ShardReader(corpus / entry.path))
    assert {key: len(shards) for key, shards in found.items()} == {key: len(shards) for key, shards in expected.items()}
    assert all(len(found["train", source]) >= 2 for source in ("web", "books", "code"))
    for key, shards in expected.items():
        for reader, documents in zip(found[key], shards, strict=True):
            assert [reader.doc_id(i) for i in range(reader.documents)] == [doc_id for doc_id, _ in documents]
            for i, (_, text) in enumerate(documents):
                assert reader.document(i).tolist() == [*processor.encode(text), manifest.end_of_document]


@pytest.mark.parametrize("weights", [None, {"web": 0.5, "books": 0.2, "code": 0.3}])
def test_three_epochs_are_read_from_the_raw_text_as_the_reference_reads_them(road, weights):
    corpus, expected, processor = road
    end = load_manifest(corpus).end_of_document
    streams = {
        source: [
            token
            for shard in expected["train", source]
            for _, text in shard
            for token in [*processor.encode(text), end]
        ]
        for source in ("books", "code", "web")
    }
    stream = SampleStream(corpus, "train", S, SEED, weights, skip_short=True)
    straddling = {
        source.name for source in stream.sources for border in source.starts[1:-1].tolist() if border % S not in (0, 1)
    }
    assert straddling == {"books", "code", "web"}
    shares = stream.blend.weights()
    count = 2 + max(round(3 * source.samples / shares[source.name]) for source in stream.sources)
    read = stream.samples(0, count)
    for g, (source, epoch, j, tokens) in enumerate(reference.samples(streams, S, SEED, weights, count)):
        assert stream.locate(g) == (source, epoch, j)
        assert read[g].tolist() == tokens


def test_the_fourth_source_is_shorter_than_a_window_and_refused(road):
    with pytest.raises(UserError) as caught:
        SampleStream(road[0], "train", S, SEED)
    assert ["'notes'" in problem.what for problem in caught.value.problems] == [True]
