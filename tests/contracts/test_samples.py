"""What a step reads is what a plain reference, written apart from the code, says it reads."""

from math import ceil

import numpy as np
import pytest

from configs.errors import UserError
from pretrain.data.blend import make_blend
from pretrain.data.order import permute
from pretrain.data.stream import SampleStream
from tests.contracts import reference
from tests.pretrain.data.corpus import write_corpus

S = 64


def lengths(seed, documents):
    return np.random.default_rng(seed).integers(1, 150, documents).tolist()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three sources in several shards each, and a fourth that is shorter than a window."""
    directory = tmp_path_factory.mktemp("corpus")
    sources = {
        "web": [lengths(0, 40), lengths(1, 25), lengths(2, 31)],
        "books": [lengths(3, 20), [5], [3], lengths(4, 11)],  # windows span four shards
        "code": [lengths(5, 9), lengths(6, 14)],
        "notes": [[S // 2, S // 4]],
    }
    truth = write_corpus(directory, {"train": sources})["train"]
    return directory, {name: tokens.tolist() for name, tokens in truth.items()}


@pytest.mark.parametrize("weights", [None, {"web": 0.2, "books": 0.5, "code": 0.3}, {"books": 1, "code": 6.02}])
def test_three_epochs_of_three_sources_are_what_the_reference_reads(corpus, weights):
    directory, streams = corpus
    stream = SampleStream(directory, "train", S, seed=7, blend=weights, skip_short=True)
    names = [source.name for source in stream.sources]
    assert names == (sorted(weights) if weights else ["books", "code", "web"])
    shares = stream.blend.weights()
    count = 2 + max(ceil(3 * source.samples / shares[source.name]) for source in stream.sources)
    read = stream.samples(0, count)
    epochs = set()
    expected = reference.samples({name: streams[name] for name in names}, S, 7, weights, count)
    for g, (source, epoch, j, tokens) in enumerate(expected):
        assert stream.locate(g) == (source, epoch, j)
        assert read[g].tolist() == tokens
        epochs.add((source, epoch))
    assert {(name, epoch) for name in names for epoch in range(3)} <= epochs


def test_windows_straddle_shards_in_this_corpus(corpus):
    directory, _ = corpus
    stream = SampleStream(directory, "train", S, seed=7, skip_short=True)
    for source in stream.sources:
        inner = source.starts[1:-1]
        windows = np.arange(source.samples) * S
        assert ((windows[:, None] < inner) & (inner < windows[:, None] + S + 1)).any(), source.name


def test_the_source_that_is_shorter_than_a_window_is_refused(corpus):
    directory, streams = corpus
    with pytest.raises(UserError) as caught:
        SampleStream(directory, "train", S, seed=7)
    [problem] = caught.value.problems
    assert "'notes'" in problem.what and str(len(streams["notes"])) in problem.what and str(S + 1) in problem.what


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 255, 256, 257, 5000, 2**31 + 11])
def test_the_bijection_is_the_references(n):
    picks = sorted({0, n - 1, n // 2, n // 3})
    for seed, source, epoch in [(0, "web", 0), (123, "größe", 7), (2**40, "", 10**6)]:
        found = permute(np.array(picks), n, seed, source, np.full(len(picks), epoch))
        assert found.tolist() == [reference.place(i, n, seed, source, epoch) for i in picks]


@pytest.mark.parametrize(
    "weights",
    [
        {"a": 1},
        {"b": 0.1, "a": 0.2, "c": 0.7},
        {"x": 1, "y": 1, "z": 1},
        {"a": 1, "b": 65_535},
        {f"s{i}": 1 + i % 5 for i in range(12)},
    ],
)
def test_the_whole_blend_table_is_the_references(weights):
    blend = make_blend(weights)
    assert [blend.sources[i] for i in blend.table] == reference.blend_table(weights)
