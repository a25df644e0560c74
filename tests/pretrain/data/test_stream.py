"""The stream gives each window of each source, in an order that depends on nothing but corpus, blend and seed."""

import os
from collections import Counter

import numpy as np
import pytest

from configs.errors import MachineError, UserError
from data_pipeline.shards import load_manifest
from pretrain.data.batches import BatchReader
from pretrain.data.stream import SampleStream
from tests.pretrain.data.corpus import write_corpus

S = 16
LENGTHS = {
    "web": [[30, 5, 40, 9], [50], [3, 3, 70]],  # 210 tokens: windows straddle documents and all shard borders
    "books": [[100, 33], [17, 1, 1]],  # 152
    "code": [[20], [13, 20]],  # 53
}


@pytest.fixture
def corpus(tmp_path):
    return tmp_path, write_corpus(tmp_path, {"train": LENGTHS, "validation": {"web": [[40]], "books": [[9]]}})


def test_a_sample_is_the_window_that_locate_names_and_straddles_shards(corpus):
    directory, truth = corpus
    stream = SampleStream(directory, "train", S, seed=3)
    samples = stream.samples(0, 3 * stream.epoch_samples)
    assert samples.dtype == np.int64 and samples.shape == (3 * stream.epoch_samples, S + 1)
    straddled = set()
    for number, sample in enumerate(samples):
        source, _, j = stream.locate(number)
        assert np.array_equal(sample, truth["train"][source][j * S : j * S + S + 1])
        borders = np.cumsum([sum(lengths) for lengths in LENGTHS[source]])
        straddled |= {source for border in borders if j * S < border < j * S + S + 1}
    assert straddled == {"web", "books", "code"}


def test_each_epoch_of_a_source_reads_every_window_once_and_in_another_order(corpus):
    directory, truth = corpus
    stream = SampleStream(directory, "train", S, seed=3)
    seen = {}
    for number in range(4 * stream.epoch_samples):
        source, epoch, window = stream.locate(number)
        seen.setdefault((source, epoch), []).append(window)
    for source in LENGTHS:
        n = (truth["train"][source].size - 1) // S
        epochs = [seen[source, epoch] for epoch in range(3)]
        assert all(sorted(windows) == list(range(n)) for windows in epochs)
    assert seen["web", 0] != seen["web", 1] != seen["web", 2]


def test_default_weights_follow_the_sizes_of_the_sources(corpus):
    directory, _ = corpus
    stream = SampleStream(directory, "train", S, seed=0)
    drawn = Counter(stream.locate(number)[0] for number in range(stream.epoch_samples))
    assert drawn == {"web": 13, "books": 9, "code": 3}


def test_what_is_read_and_what_is_not_is_described(corpus):
    directory, _ = corpus
    stream = SampleStream(directory, "train", S, seed=0, blend={"web": 3, "code": 1})
    described = stream.describe()
    assert described["corpus_id"] == load_manifest(directory).corpus_id == stream.corpus_id
    assert described["epoch_samples"] == stream.epoch_samples == 16
    assert described["sources"] == {
        "code": {"tokens": 53, "samples": 3, "unused_tokens": 4, "weight": 0.25},
        "web": {"tokens": 210, "samples": 13, "unused_tokens": 1, "weight": 0.75},
    }
    assert described["left_out"] == {"books": {"tokens": 152, "reason": "not in data.blend"}}
    assert any("49152/65536 = 0.7500" in line for line in stream.lines())
    assert any(line.startswith("books: left out") for line in stream.lines())


def test_the_order_does_not_depend_on_how_the_samples_are_asked_for(corpus):
    directory, _ = corpus
    stream = SampleStream(directory, "train", S, seed=9, blend={"web": 1, "books": 1, "code": 1})
    whole = stream.samples(0, 60)
    assert np.array_equal(np.concatenate([stream.samples(i, 1) for i in range(60)]), whole)
    again = SampleStream(directory, "train", S, seed=9, blend={"code": 1, "books": 1, "web": 1})
    assert np.array_equal(again.samples(17, 43), whole[17:])
    assert not np.array_equal(SampleStream(directory, "train", S, seed=10).samples(0, 60), whole)


@pytest.mark.parametrize(("dp", "micro"), [(1, 1), (1, 12), (2, 3), (3, 2), (6, 2), (12, 1), (4, 1)])
def test_the_order_is_the_same_for_any_number_of_ranks_and_micro_batch(corpus, dp, micro):
    directory, _ = corpus
    stream = SampleStream(directory, "train", S, seed=1)
    steps = []
    readers = [BatchReader(stream, 12, micro, rank, dp, prefetch=rank % 3) for rank in range(dp)]
    for consumed in (0, 12, 24):
        parts = np.stack([reader.read(consumed) for reader in readers], axis=1)  # [accumulation, dp, micro, S + 1]
        steps.append(parts.reshape(12, S + 1))
    for reader in readers:
        reader.close()
    assert np.array_equal(np.concatenate(steps), stream.samples(0, 36))


def test_a_source_shorter_than_a_window_is_refused_with_its_numbers(corpus):
    directory, _ = corpus
    with pytest.raises(UserError) as caught:
        SampleStream(directory, "validation", S, seed=0)
    assert len(caught.value.problems) == 2  # books is short, code has nothing in this split
    first, second = sorted(caught.value.problems, key=lambda p: p.what)
    assert "'books' has 9 tokens in split 'validation', one window takes 17" in first.what
    assert "at most 8" in first.hint
    assert "'code' has 0 tokens" in second.what
    stream = SampleStream(directory, "validation", S, seed=0, skip_short=True)
    assert [source.name for source in stream.sources] == ["web"]
    assert set(stream.describe()["left_out"]) == {"books", "code"}
    with pytest.raises(UserError, match="no source of split 'test' holds a window of 17 tokens"):
        SampleStream(directory, "test", S, seed=0, skip_short=True)


def test_the_shortest_source_that_fits_is_read(tmp_path):
    truth = write_corpus(tmp_path, {"train": {"web": [[S], [1]]}})
    stream = SampleStream(tmp_path, "train", S, seed=0)
    assert stream.describe()["sources"]["web"] == {"tokens": 17, "samples": 1, "unused_tokens": 0, "weight": 1.0}
    assert np.array_equal(stream.samples(0, 3), np.stack([truth["train"]["web"]] * 3))


def test_an_unknown_source_in_the_blend_is_refused_with_the_nearest(corpus):
    directory, _ = corpus
    with pytest.raises(UserError) as caught:
        SampleStream(directory, "train", S, seed=0, blend={"wbe": 1, "book": 2, "code": 1})
    assert [p.where for p in caught.value.problems] == ["data.blend.wbe", "data.blend.book"]
    assert "did you mean 'books'?" in caught.value.problems[1].hint


def test_vocabularies_beyond_16_bits_are_read(tmp_path):
    truth = write_corpus(tmp_path, {"train": {"web": [[40, 40], [25]]}}, vocab_size=200_000)
    stream = SampleStream(tmp_path, "train", S, seed=0)
    assert truth["train"]["web"].max() > 65_535
    for number in range(stream.epoch_samples):
        j = stream.locate(number)[2]
        assert np.array_equal(stream.samples(number, 1)[0], truth["train"]["web"][j * S : j * S + S + 1])


def test_a_missing_shard_is_named(corpus):
    directory, _ = corpus
    stream = SampleStream(directory, "train", S, seed=0)
    (directory / "shards/train/books-00001.arrow").unlink()
    with pytest.raises(MachineError, match=r"books-00001\.arrow") as caught:
        stream.samples(0, stream.epoch_samples)
    assert "millrace data verify" in str(caught.value)


def test_a_shard_that_changes_under_a_running_reader_is_named_not_read(corpus):
    directory, _ = corpus
    stream = SampleStream(directory, "train", S, seed=0)
    stream.samples(0, stream.epoch_samples)
    path = directory / "shards/train/web-00000.arrow"
    content = bytearray(path.read_bytes())
    later = path.stat().st_mtime_ns + 1_000_000
    path.unlink()
    path.write_bytes(content)  # as long as before, and even equal: written again is changed
    os.utime(path, ns=(later, later))
    with pytest.raises(MachineError, match=r"written again[\s\S]*web-00000\.arrow"):
        stream.samples(0, stream.epoch_samples)
    path.write_bytes(content[:-8])
    with pytest.raises(MachineError, match=r"the manifest says[\s\S]*web-00000\.arrow"):
        SampleStream(directory, "train", S, seed=0).samples(0, stream.epoch_samples)


def test_a_shard_of_another_source_under_the_same_name_and_size_is_named(tmp_path):
    write_corpus(tmp_path, {"train": {"aaa": [[40]], "bbb": [[40]]}})
    a, b = (tmp_path / f"shards/train/{name}-00000.arrow" for name in ("aaa", "bbb"))
    b.write_bytes(a.read_bytes())
    with pytest.raises(MachineError, match=r"40 tokens of 'aaa'"):
        SampleStream(tmp_path, "train", S, seed=0).samples(0, 8)


def test_no_corpus_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="no corpus here"):
        SampleStream(tmp_path, "train", S, seed=0)


def test_sample_numbers_start_at_zero(corpus):
    with pytest.raises(ValueError, match="start at 0"):
        SampleStream(corpus[0], "train", S, seed=0).samples(-1, 1)
