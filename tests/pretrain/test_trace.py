"""`millrace trace`: the documents of a step's batch are those that the step read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from configs.errors import UserError
from configs.schema.data import Tokenizer
from data_pipeline.shards.manifest import Manifest, write_manifest
from data_pipeline.shards.writer import ShardWriter
from data_pipeline.tokenize.codec import Codec
from data_pipeline.tokenize.train import train as train_tokenizer
from pretrain.trace import Trace, trace
from pretrain.tracking.metrics import MetricsLog, read_metrics
from tests.conftest import Cli
from tests.contracts import reference

S, BATCH = 24, 6
Reads = list[tuple[str, int, int, list[int]]]
Corpus = tuple[Path, dict[str, list[tuple[str, str]]], Codec]


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Two sources in shards of one to nine short documents, so that windows straddle both; texts hold characters that
    the tokenizer can only spell in bytes. Returns directory, source -> (document id, text) in order, codec."""
    out = tmp_path_factory.mktemp("many-shards")
    rng = np.random.default_rng(3)
    words = ["wheel", "race", "water", "mill", "Mühle", "and", "by\n", "\u202etricky"]
    texts = [" ".join(words[i] for i in rng.integers(0, len(words), rng.integers(1, 7))) for _ in range(90)]
    model, _ = train_tokenizer(texts, Tokenizer(vocab_size=320, model_type="bpe"))
    texts = [text.replace("Mühle", "水車🌊") for text in texts]
    (out / "tokenizer").mkdir()
    (out / "tokenizer/tokenizer.model").write_bytes(model)
    codec = Codec(model)
    documents: dict[str, list[tuple[str, str]]] = {"web": [], "books": []}
    entries, left = [], list(enumerate(texts))
    for source, sizes in (("web", [9, 1, 3, 8, 9, 20]), ("books", [1, 1, 1, 7, 30])):
        for n, size in enumerate(sizes):
            path = out / f"shards/train/{source}-{n:05d}.arrow"
            writer = ShardWriter(path, source, "train", codec.vocab_size, codec.end_of_document, codec.hash)
            for i, text in left[:size]:
                documents[source].append((i.to_bytes(16, "big").hex(), text))
                writer.append(i.to_bytes(16, "big"), f"https://{source}.example/{i}", codec.encode(text))
            left = left[size:]
            entries.append(writer.close())
    splits = {"train": entries}
    write_manifest(
        out, Manifest(splits, codec.vocab_size, codec.end_of_document, "tokenizer/tokenizer.model", codec.hash)
    )
    return out, documents, codec


def started(log: MetricsLog, life: int, from_step: int, corpus: Path, micro: int, dp: int, batch: int = BATCH) -> None:
    corpus_id = json.loads((corpus / "manifest.json").read_text())["corpus_id"]
    layout = {"dp": dp, "micro_batch": micro, "accumulation": batch // (dp * micro)}
    log.start(life, from_step, layout=layout, corpus_id=corpus_id)


@pytest.fixture
def run_dir(tmp_path: Path, many_shards: Corpus) -> Path:
    """The log of a run whose second life went back to step 3, and whose third, of double batches, left no row."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({
        "model": {"num_layers": 2, "hidden_size": 32, "num_heads": 2},
        "train": {"steps": 60, "global_batch": BATCH, "micro_batch": 2, "seq_length": S, "seed": 7},
        "data": {"dir": str(many_shards[0]), "blend": {"web": 0.7, "books": 0.3}}, "run": {"dir": str(run)},
    }))  # fmt: skip
    with MetricsLog(run) as log:
        started(log, 1, 0, many_shards[0], micro=2, dp=1)
        for step in range(1, 6):
            log.row(step, loss=1.0, consumed=step * BATCH)
        started(log, 2, 3, many_shards[0], micro=1, dp=3)
        for step in (6, 9):  # tracking.every: not every step has a row
            log.row(step, loss=1.0, consumed=step * BATCH)
        started(log, 3, 9, many_shards[0], micro=2, dp=3, batch=2 * BATCH)
    return run


@pytest.fixture(scope="module")
def reads(many_shards: Corpus) -> Reads:
    """(source, epoch, window, tokens) of the first samples, by the plain reference of the contracts."""
    _, documents, codec = many_shards
    streams = {
        source: [t for _, text in of_source for t in (*codec.encode(text).tolist(), codec.end_of_document)]
        for source, of_source in documents.items()
    }
    return list(reference.samples(streams, S, 7, {"web": 0.7, "books": 0.3}, 20 * BATCH))


def check(found: Trace, corpus: Corpus, reads: Reads, first: int, batch: int) -> None:
    """Every window is covered once, in order, by documents that hold exactly the tokens that the reference reads."""
    _, documents, codec = corpus
    texts = {identity: text for of_source in documents.values() for identity, text in of_source}
    assert [s.sample for s in found.samples] == list(range(first, first + batch))
    for sample, (source, epoch, window, tokens) in zip(found.samples, reads[first : first + batch], strict=True):
        assert (sample.source, sample.epoch, sample.window) == (source, epoch, window)
        edges = [edge for span in sample.documents for edge in span.sample_tokens]
        assert edges[0] == 0 and edges[-1] == S + 1 and edges[1:-1:2] == edges[2::2]
        order = [identity for identity, _ in documents[source]]
        indices = [order.index(span.id) for span in sample.documents]
        assert indices == list(range(indices[0], indices[0] + len(indices)))
        for span in sample.documents:
            whole = [*codec.encode(texts[span.id]).tolist(), codec.end_of_document]
            assert len(whole) == span.document_length
            assert whole[slice(*span.document_tokens)] == list(tokens[slice(*span.sample_tokens)])
            assert span.url == f"https://{source}.example/{int(span.id, 16)}"


@pytest.mark.parametrize(("step", "life", "first", "batch", "trained"), [
    (1, 1, 0, BATCH, True),
    (3, 1, 2 * BATCH, BATCH, True),
    (4, 2, 3 * BATCH, BATCH, True),
    (8, 2, 7 * BATCH, BATCH, True),
    (10, 3, 9 * BATCH, 2 * BATCH, False),
    (12, 3, 13 * BATCH, 2 * BATCH, False),
])  # fmt: skip
def test_each_step_leads_to_the_documents_that_a_plain_recomputation_reads(
    run_dir: Path, many_shards: Corpus, reads: Reads, step: int, life: int, first: int, batch: int, trained: bool
) -> None:
    found = trace(run_dir, step)
    assert (found.life, found.trained) == (life, trained)
    check(found, many_shards, reads, first, batch)


def test_windows_straddle_documents_and_shards(run_dir: Path) -> None:
    """What the cases above rely on."""
    samples = [sample for step in range(1, 10) for sample in trace(run_dir, step).samples]
    assert max(len({span.shard for span in sample.documents}) for sample in samples) >= 3
    assert max(len(sample.documents) for sample in samples) >= 3
    assert {sample.epoch for sample in samples} >= {0, 1}, "sources are read again"


def test_characters_are_those_that_the_tokens_spell(run_dir: Path, many_shards: Corpus) -> None:
    _, documents, codec = many_shards
    texts = {identity: text for of_source in documents.values() for identity, text in of_source}
    cut = 0
    for step in range(1, 10):
        for sample in trace(run_dir, step, text=True).samples:
            for span in sample.documents:
                assert span.characters is not None and span.text == texts[span.id][slice(*span.characters)]
                ids = codec.encode(texts[span.id]).tolist()[slice(*span.document_tokens)]
                spelled = codec.decode(ids)
                cut += "\ufffd" in spelled
                assert spelled.strip("\ufffd") in span.text
                assert len(span.text) - len(spelled.strip("\ufffd")) <= 2, "at most a cut character at either end"
    assert cut, "some window cuts a character that is spelled in bytes"


def test_people_read_it_without_what_would_move_their_cursor(run_dir: Path) -> None:
    lines = [line for step in range(1, 6) for line in trace(run_dir, step, text=True).lines()]
    assert lines[0].startswith(f"step 1 of {run_dir} (life 1): samples 0 to 5, 6 x 25 tokens of ")
    assert all(line.isprintable() for line in lines)
    assert any("\\u202e" in line for line in lines)


def test_another_corpus_in_the_place_of_the_runs_is_refused(run_dir: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match=r"was trained on corpus \w+, but"):
        trace(run_dir, 1, data_dir=write_blend_of(run_dir, corpus))


def write_blend_of(run_dir: Path, corpus: Path) -> Path:
    """`corpus`, readable by the config of the run: its blend left out."""
    tree: dict[str, Any] = yaml.safe_load((run_dir / "config.yaml").read_text())
    del tree["data"]["blend"]
    (run_dir / "config.yaml").write_text(yaml.safe_dump(tree))
    return corpus


@pytest.mark.parametrize(("step", "said"), [(0, "the first update is step 1"), (61, "the run ends at train.steps 60")])
def test_a_step_that_cannot_be_is_refused(run_dir: Path, step: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        trace(run_dir, step)


def test_a_folder_without_a_run_and_a_corpus_that_moved_are_told(
    tmp_path: Path, run_dir: Path, many_shards: Corpus, reads: Reads
) -> None:
    with pytest.raises(UserError, match="no run has started here"):
        trace(tmp_path / "nothing", 1)
    text = (run_dir / "config.yaml").read_text()
    (run_dir / "config.yaml").write_text(text.replace(str(many_shards[0]), "elsewhere"))
    with pytest.raises(UserError, match="--data DIR"):
        trace(run_dir, 1)
    check(trace(run_dir, 1, data_dir=many_shards[0]), many_shards, reads, 0, BATCH)


def test_a_resumed_run_of_another_batch_is_traced_from_the_command_line(
    run_cli: Cli, config: Path, corpus: Path, tmp_path: Path
) -> None:
    assert run_cli("train", config, "train.stop_after=3").returncode == 0
    changed = ["train.global_batch=4", "train.seed=9", "--allow", "train.global_batch", "--allow", "train.seed"]
    done = run_cli("train", config, *changed, "train.stop_after=6")
    assert done.returncode == 0, done.stderr
    consumed = {row["step"]: row["consumed"] for row in read_metrics(tmp_path / "run") if "consumed" in row}
    from data_pipeline.shards import ShardReader

    tokens = ShardReader(corpus / "shards/train/words-00000.arrow").tokens.tolist()
    for step, seed in ((3, 0), (5, 9)):
        done = run_cli("trace", tmp_path / "run", "--step", str(step), "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        reads = list(reference.samples({"words": tokens}, 32, seed, None, consumed[step]))
        reads = reads[consumed.get(step - 1, 0) :]
        assert [(s["source"], s["epoch"], s["window"]) for s in found["samples"]] == [r[:3] for r in reads]
        assert found["life"] == (1 if step <= 3 else 2)
        first = found["samples"][0]["documents"][0]
        assert first["url"] == f"https://example.org/{int(first['id'], 16)}"
