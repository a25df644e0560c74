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
from pretrain.checkpoint.pieces import WEIGHT, Box, Piece, box_shape, intersection, rows_of, slices
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
            self._place(piece, file, f"{key}/{state}", rows, values, filled)
        skipped = (rows[0][0] - wanted.box[0][0]) * int(np.prod(box_shape(wanted.box)[1:], dtype=np.int64))
        part = slice(wanted.start - skipped, wanted.stop - skipped)
        if not filled.reshape(-1)[part].all():
            raise MachineError(f"the checkpoint lacks a part of {wanted.name}", str(self.directory), go_on=_GO_ON)
        return values.reshape(-1)[part]

    def _place(self, piece: Piece, file: str, key: str, rows: Box, values: np.ndarray, filled: np.ndarray) -> None:
        """Copies what a saved piece shares with the wanted rows; only its whole rows' box is ever in memory."""
        piece_rows = rows_of(piece.box, piece.start, piece.stop)
        common = intersection(piece_rows, rows)
        if common is None:
            return
        flat = self._file(file).get_tensor(key)
        size = int(np.prod(box_shape(piece_rows), dtype=np.int64))
        before = piece.start - (piece_rows[0][0] - piece.box[0][0]) * (size // (piece_rows[0][1] - piece_rows[0][0]))
        if flat.size != size:  # the range begins or ends within a row
            known = np.zeros(size, dtype=bool)
            known[before : before + flat.size] = True
            padded = np.zeros(size, dtype=np.float32)
            padded[before : before + flat.size] = flat
            mask = known.reshape(box_shape(piece_rows))[slices(common, piece_rows)]
            source = padded.reshape(box_shape(piece_rows))[slices(common, piece_rows)]
            target = slices(common, rows)
            values[target] = np.where(mask, source, values[target])
            filled[target] |= mask
            return
        values[slices(common, rows)] = flat.reshape(box_shape(piece_rows))[slices(common, piece_rows)]
        filled[slices(common, rows)] = True

    def weights(self, segment: Segment) -> np.ndarray:
        """float32 master weights of a segment's box, in the box's shape."""
        wanted = Piece(segment.name, segment.shape, segment.box, 0, segment.numel)
        return self.read(wanted, WEIGHT).reshape(segment.box_shape)
