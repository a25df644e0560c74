"""Whatever flat ranges the writers owned, a reader gets any box it asks for, exactly, or an error."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from configs.errors import MachineError
from data_pipeline.shards.atomic import file_xxh3
from pretrain.checkpoint.directory import INDEX, newest, read_index, write_index
from pretrain.checkpoint.pieces import Piece, cut
from pretrain.checkpoint.read import CheckpointReader
from pretrain.model.logical import Segment


def write(directory: Path, tensor: np.ndarray, pieces: list[Piece]) -> None:
    """A checkpoint of one logical tensor, `x`, cut into the pieces."""
    directory.mkdir(parents=True)
    tensors, entries = {}, []
    for i, piece in enumerate(pieces):
        flat = tensor[tuple(slice(*side) for side in piece.box)].reshape(-1)[piece.start : piece.stop]
        tensors[f"x/{i}/weight"] = torch.from_numpy(flat.copy())
        entries.append({**piece.to_json(), "key": f"x/{i}"})
    path = directory / "rank-00000.safetensors"
    save_file(tensors, path)
    entry = {"bytes": path.stat().st_size, "xxh3": file_xxh3(path), "pieces": entries}
    write_index(directory, {"step": 1, "life": 1, "state": {}, "files": {path.name: entry}})


def boxes(data: st.DataObject, shape: tuple[int, ...]) -> list[tuple[tuple[int, int], ...]]:
    """The tensor cut in equal parts along one dimension."""
    dim = data.draw(st.integers(0, len(shape) - 1))
    parts = data.draw(st.sampled_from([n for n in (1, 2, 3, 4) if shape[dim] % n == 0]))
    width = shape[dim] // parts
    return [
        tuple((i * width, (i + 1) * width) if d == dim else (0, n) for d, n in enumerate(shape)) for i in range(parts)
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_box_is_read_back_from_any_pieces(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(12,), (12, 8), (24, 4), (4, 12)]))
    tensor = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    pieces = []
    for box in boxes(data, shape):
        size = int(np.prod([hi - lo for lo, hi in box]))
        borders = sorted({0, size, *data.draw(st.lists(st.integers(0, size), max_size=3))})
        pieces += [Piece("x", shape, box, a, b) for a, b in itertools.pairwise(borders)]
    directory = tmp_path_factory.mktemp("checkpoint") / "step-1-life-1"
    write(directory, tensor, pieces)
    reader = CheckpointReader(directory)
    for box in boxes(data, shape):
        wanted = tensor[tuple(slice(*side) for side in box)].reshape(-1)
        start = data.draw(st.integers(0, wanted.size - 1))
        stop = data.draw(st.integers(start + 1, wanted.size))
        assert (reader.read(Piece("x", shape, box, start, stop), "weight") == wanted[start:stop]).all()


@pytest.mark.parametrize(
    ("box", "start", "stop"),
    [(((0, 1024), (512, 768)), 0, 262_144), (((256, 512), (0, 1024)), 0, 262_144), (((0, 1024), (0, 1024)), 500, 200_007)],
    ids=["columns", "rows", "part of the flat range"],
)
def test_a_reader_never_holds_more_of_a_tensor_than_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: tuple[tuple[int, int], ...], start: int, stop: int
) -> None:
    monkeypatch.setattr("pretrain.checkpoint.read.BLOCK_BYTES", 1 << 16)
    tensor = np.arange(1 << 20, dtype=np.float32).reshape(1024, 1024)
    write(tmp_path / "c", tensor, [Piece("x", tensor.shape, ((0, 1024), (0, 1024)), 0, tensor.size)])
    reader = CheckpointReader(tmp_path / "c")
    reader.verify()
    tracemalloc.start()
    found = reader.read(Piece("x", tensor.shape, box, start, stop), "weight")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found == tensor[tuple(slice(*side) for side in box)].reshape(-1)[start:stop]).all()
    # A mask of a byte for each element, blocks, and the rows at both ends: a quarter of the whole tensor's 4 MiB.
    assert peak < 1.25 * found.nbytes + 4 * (1 << 16), (peak, found.nbytes)


def test_a_fragment_is_cut_at_the_borders_of_its_segments() -> None:
    q = Segment("q", (4, 2), ((0, 4), (0, 2)), 0)
    k = Segment("k", (4, 2), ((0, 4), (0, 2)), 8)
    found = list(cut([q, k], start=6, numel=5))
    assert found == [(Piece("q", (4, 2), q.box, 6, 8), 0), (Piece("k", (4, 2), k.box, 0, 3), 2)]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints" / "step-00000001-life-0001"
    tensor = np.arange(96, dtype=np.float32).reshape(12, 8)
    write(directory, tensor, [Piece("x", (12, 8), ((0, 12), (0, 8)), 0, 96)])
    return directory


def test_a_missing_piece_is_an_error_never_zeros(tmp_path: Path) -> None:
    tensor = np.arange(96, dtype=np.float32).reshape(12, 8)
    box = ((0, 12), (0, 8))
    write(tmp_path / "c", tensor, [Piece("x", (12, 8), box, 0, 50), Piece("x", (12, 8), box, 51, 96)])
    with pytest.raises(MachineError, match="lacks a part of x"):
        CheckpointReader(tmp_path / "c").read(Piece("x", (12, 8), ((4, 8), (0, 8)), 0, 32), "weight")


@pytest.mark.parametrize("name", ["rank-00000.safetensors", INDEX])
def test_every_flipped_bit_and_truncation_is_detected(checkpoint: Path, name: str) -> None:
    path = checkpoint / name
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [sound[: int(n)] for n in rng.integers(0, len(sound), 100)]
    for bit in rng.integers(0, 8 * len(sound), 400):
        bytes_ = bytearray(sound)
        bytes_[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(bytes_))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(MachineError) as caught:
            CheckpointReader(checkpoint).verify()
        assert str(path) in str(caught.value)


def test_a_checkpoint_without_index_does_not_count(checkpoint: Path) -> None:
    run = checkpoint.parents[1]
    found = newest(run)
    assert found is not None and found.path == checkpoint
    unfinished = checkpoint.parent / "step-00000009-life-0002"
    unfinished.mkdir()
    assert newest(run) == found
    (checkpoint / INDEX).unlink()
    assert newest(run) is None


def test_a_newer_format_and_paths_outside_are_refused(checkpoint: Path) -> None:
    index = read_index(checkpoint)
    write_index(checkpoint, {**index, "format_version": 99})
    with pytest.raises(MachineError, match="newer"):
        read_index(checkpoint)
    files = {"../../outside.safetensors": index["files"].popitem()[1]}
    write_index(checkpoint, {**index, "files": files})
    with pytest.raises(MachineError, match="outside"):
        read_index(checkpoint)
    assert json.loads((checkpoint / INDEX).read_text())["files"]
