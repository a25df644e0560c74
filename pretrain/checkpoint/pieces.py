"""Pieces: the unit of a checkpoint. Pure arithmetic on boxes and flat ranges, no torch and no files.

A piece = (logical name, full shape, box in the full tensor, flat range inside the box). A rank's fragment is cut at the
borders of its parameter's segments, one piece each; a reader finds the saved pieces whose boxes meet the box it wants.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from pretrain.model.logical import Segment

WEIGHT = "weight"
"""Name of the float32 (master) weights among a piece's tensors; the others are the optimizer's states."""

Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Piece:
    """Elements [start, stop) of the row-major flattened `box` of logical tensor `name` with full shape `shape`."""

    name: str
    shape: tuple[int, ...]
    box: Box
    start: int
    stop: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.shape), "box": [list(side) for side in self.box],
                "range": [self.start, self.stop]}  # fmt: skip

    @staticmethod
    def from_json(value: dict[str, Any]) -> Piece:
        box = tuple((int(a), int(b)) for a, b in value["box"])
        return Piece(value["name"], tuple(value["shape"]), box, *value["range"])


def cut(segments: list[Segment], start: int, numel: int) -> Iterator[tuple[Piece, int]]:
    """The pieces of a fragment [start, start + numel) of a flattened parameter, each with its index in the fragment.

    Elements outside every segment (rows of padding) belong to no piece.
    """
    for segment in segments:
        lo, hi = max(start, segment.offset), min(start + numel, segment.offset + segment.numel)
        if lo < hi:
            piece = Piece(segment.name, segment.shape, segment.box, lo - segment.offset, hi - segment.offset)
            yield piece, lo - start


def intersection(a: Box, b: Box) -> Box | None:
    """The box common to both, or None."""
    out = tuple((max(x[0], y[0]), min(x[1], y[1])) for x, y in zip(a, b, strict=True))
    return out if all(lo < hi for lo, hi in out) else None


def slices(inner: Box, outer: Box) -> tuple[slice, ...]:
    """Index of `inner` in an array that holds `outer`."""
    return tuple(slice(i[0] - o[0], i[1] - o[0]) for i, o in zip(inner, outer, strict=True))


def box_shape(box: Box) -> tuple[int, ...]:
    """Lengths of the box's sides."""
    return tuple(hi - lo for lo, hi in box)


def row_size(box: Box) -> int:
    """Elements of a leading row of the box; 1 for a vector."""
    return prod(box_shape(box)[1:])


def rows_of(box: Box, start: int, stop: int) -> Box:
    """The smallest box of whole leading rows of `box` that contains its flat range [start, stop)."""
    row = row_size(box)
    first, last = start // row, -(-stop // row)
    return ((box[0][0] + first, box[0][0] + last), *box[1:])
