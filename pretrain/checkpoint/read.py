"""Reading a checkpoint into any layout: each rank assembles only the boxes it needs, one segment at a time."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from configs.errors import MachineError
from data_pipeline.shards.atomic import file_xxh3
from pretrain.checkpoint.directory import read_index
from pretrain.checkpoint.file import BLOCK_BYTES
from pretrain.checkpoint.pieces import WEIGHT, Box, Piece, box_shape, intersection, row_size, rows_of, slices
from pretrain.model.logical import Segment

_GO_ON = "resume from an older checkpoint: move this directory away and start the same command again"


class CheckpointReader:
    """The pieces of one complete checkpoint by logical name. A file is verified once, before anything is taken from it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        index = read_index(directory)
        self.step: int = index["step"]
        self.life: int = index["life"]
        self.state: dict[str, Any] = index["state"]
        self.files: dict[str, dict[str, Any]] = index["files"]
        self.pieces: dict[str, list[tuple[Piece, str, str]]] = defaultdict(list)
        for file, entry in self.files.items():
            for value in entry["pieces"]:
                piece = Piece.from_json(value)
                self.pieces[piece.name].append((piece, file, value["key"]))
        self._open: dict[str, Any] = {}

    def _file(self, name: str) -> Any:
        if name not in self._open:
            path, entry = self.directory / name, self.files[name]
            if not path.is_file():
                raise MachineError("a file of the checkpoint is missing", str(path), go_on=_GO_ON)
            if path.stat().st_size != entry["bytes"] or file_xxh3(path) != entry["xxh3"]:
                raise MachineError(
                    "a file of the checkpoint is damaged: size or checksum differ", str(path), go_on=_GO_ON
                )
            self._open[name] = safe_open(path, framework="numpy")
        return self._open[name]

    def verify(self) -> None:
        """Checks every file's size and checksum; MachineError names the first damaged one."""
        for name in self.files:
            self._file(name)

    def read(self, wanted: Piece, state: str) -> np.ndarray:
        """The wanted flat range of the wanted box, float32 [stop - start]. MachineError when any element is missing."""
        saved = self.pieces.get(wanted.name)
        if not saved:
            raise MachineError(f"the checkpoint has no tensor {wanted.name}", str(self.directory),
                               go_on="resume with the model the checkpoint was written from")  # fmt: skip
        if saved[0][0].shape != wanted.shape:
            raise MachineError(f"{wanted.name} has shape {saved[0][0].shape} in the checkpoint, {wanted.shape} in the model",
                               str(self.directory), go_on="resume with the model the checkpoint was written from")  # fmt: skip
        for piece, file, key in saved:
            if piece == wanted:
                return self._file(file).get_tensor(f"{key}/{state}")
        rows = rows_of(wanted.box, wanted.start, wanted.stop)
        values = np.empty(box_shape(rows), dtype=np.float32)
        filled = np.zeros(box_shape(rows), dtype=bool)
        for piece, file, key in saved:
            if intersection(rows_of(piece.box, piece.start, piece.stop), rows):
                _place(piece, self._file(file).get_slice(f"{key}/{state}"), rows, values, filled)
        skipped = (rows[0][0] - wanted.box[0][0]) * row_size(wanted.box)
        part = slice(wanted.start - skipped, wanted.stop - skipped)
        if not filled.reshape(-1)[part].all():
            raise MachineError(f"the checkpoint lacks a part of {wanted.name}", str(self.directory), go_on=_GO_ON)
        return values.reshape(-1)[part]

    def weights(self, segment: Segment) -> np.ndarray:
        """float32 master weights of a segment's box, in the box's shape."""
        wanted = Piece(segment.name, segment.shape, segment.box, 0, segment.numel)
        return self.read(wanted, WEIGHT).reshape(segment.box_shape)


def _place(piece: Piece, saved: Any, rows: Box, values: np.ndarray, filled: np.ndarray) -> None:
    """Copies what a saved piece shares with the wanted rows, a block of rows at a time: a piece may be a whole tensor, of
    which a rank that holds some columns must not have more in memory than it keeps.

    saved: the piece's flat values, read when sliced. values, filled: in the shape of `rows`.
    """
    width = row_size(piece.box)
    first = max(piece.box[0][0] + piece.start // width, rows[0][0])
    last = min(piece.box[0][0] - (-piece.stop // width), rows[0][1])
    count = max(1, BLOCK_BYTES // (4 * width))
    for top in range(first, last, count):
        bottom = min(top + count, last)
        block: Box = ((top, bottom), *piece.box[1:])
        common = intersection(block, rows)
        if common is None:
            return
        # The piece may begin or end within a row of the block.
        flat = (top - piece.box[0][0]) * width, (bottom - piece.box[0][0]) * width
        lo, hi = max(flat[0], piece.start), min(flat[1], piece.stop)
        found = saved[lo - piece.start : hi - piece.start]
        target, source = slices(common, rows), slices(common, block)
        if (lo, hi) == flat:
            values[target] = found.reshape(box_shape(block))[source]
            filled[target] = True
            continue
        padded = np.zeros(flat[1] - flat[0], dtype=np.float32)
        padded[lo - flat[0] : hi - flat[0]] = found
        known = np.zeros(len(padded), dtype=bool)
        known[lo - flat[0] : hi - flat[0]] = True
        mask = known.reshape(box_shape(block))[source]
        values[target] = np.where(mask, padded.reshape(box_shape(block))[source], values[target])
        filled[target] |= mask
