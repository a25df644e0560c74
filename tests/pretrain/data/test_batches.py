"""The reader gives each rank its rows, ahead of time, and hides no error."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from configs.errors import MachineError
from pretrain.data.batches import BatchReader
from pretrain.data.stream import SampleStream
from tests.pretrain.data.corpus import write_corpus

S = 8


@pytest.fixture
def stream(tmp_path):
    write_corpus(tmp_path, {"train": {"web": [[100, 120], [333]], "books": [[90], [91]]}})
    return SampleStream(tmp_path, "train", S, seed=4)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_row_k_of_micro_batch_m_on_rank_d_is_the_sample_the_contract_names(stream, prefetch):
    micro, dp = 2, 3
    for rank in range(dp):
        with BatchReader(stream, 12, micro, rank, dp, prefetch) as reader:
            for consumed in (0, 12, 24, 36):
                batch = reader.read(consumed)
                assert batch.shape == (2, micro, S + 1) and batch.dtype == np.int64
                for m in range(2):
                    for k in range(micro):
                        number = consumed + (m * dp + rank) * micro + k
                        assert np.array_equal(batch[m, k], stream.samples(number, 1)[0])


@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_another_place_than_the_one_read_ahead_just_works(stream, prefetch):
    with BatchReader(stream, 4, 4, 0, 1, prefetch) as reader:
        for consumed in (0, 4, 100, 104, 0, 0, 7, 11, 3, 100_000, 100_004):
            assert np.array_equal(reader.read(consumed)[0], stream.samples(consumed, 4))


def test_jumping_about_never_returns_a_batch_of_another_place(stream):
    jumps = np.random.default_rng(0).integers(0, 50, 400).tolist()
    with BatchReader(stream, 2, 2, 0, 1, prefetch=2) as reader:
        for consumed in jumps:
            assert np.array_equal(reader.read(consumed)[0], stream.samples(consumed, 2))


def test_an_error_is_raised_by_the_read_of_the_batch_it_happened_on(tmp_path):
    write_corpus(tmp_path, {"train": {"web": [[65], [64]]}})  # 16 samples
    stream = SampleStream(tmp_path, "train", S, seed=0)
    second = tmp_path / "shards/train/web-00001.arrow"
    content = second.read_bytes()
    second.unlink()
    windows = [stream.locate(number)[2] for number in range(16)]
    broken = next(number for number, j in enumerate(windows) if j >= 8)
    with BatchReader(stream, 1, 1, 0, 1, prefetch=3) as reader:
        for number in range(broken):
            reader.read(number)
        for _ in range(2):  # it stays an error, and the reader stays usable
            with pytest.raises(MachineError, match=r"web-00001\.arrow"):
                reader.read(broken)
        whole = next(number for number, j in enumerate(windows) if j < 8)
        assert np.array_equal(reader.read(whole)[0], stream.samples(whole, 1))
        second.write_bytes(content)
        assert np.array_equal(reader.read(broken)[0], stream.samples(broken, 1))


def test_close_ends_the_thread_and_reading_afterwards_is_refused(stream):
    before = threading.active_count()
    reader = BatchReader(stream, 4, 4, 0, 1, prefetch=2)
    reader.read(0)
    assert threading.active_count() == before + 1
    reader.close()
    reader.close()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="closed"):
        reader.read(4)


def test_the_time_spent_waiting_adds_up(stream):
    with BatchReader(stream, 4, 4, 0, 1, prefetch=0) as reader:
        assert reader.wait_seconds == 0
        reader.read(0)
        once = reader.wait_seconds
        reader.read(4)
        assert 0 < once < reader.wait_seconds


def test_a_batch_that_does_not_divide_is_refused(stream):
    with pytest.raises(ValueError, match="not divisible"):
        BatchReader(stream, 10, 4, 0, 1)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        BatchReader(stream, 8, 4, 2, 2)


def test_reading_imports_no_more_than_a_bare_machine_has():
    code = (
        "import sys, pretrain.data.batches, pretrain.tracking.mirror, pretrain.tracking.metrics\n"
        "heavy = {'torch', 'mlflow', 'sentencepiece', 'datasets', 'pandas', 'pretrain.model'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
