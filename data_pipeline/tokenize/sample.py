"""Which documents a tokenizer is trained on: those of smallest lot, up to a number of bytes of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from data_pipeline.columns import column
from data_pipeline.dedup.signatures import signatures_path
from data_pipeline.kept import kept_batches
from data_pipeline.shards.schema import SPLITS
from data_pipeline.splits import read_lots
from data_pipeline.units import Unit

_TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class Sample:
    """Documents drawn from the training split. unit, row: where each is; id: uint8 [documents, 16]; in order of id.

    hash: of ids and texts, hex; equal samples have equal hashes wherever their documents lie.
    """

    unit: np.ndarray
    row: np.ndarray
    id: np.ndarray
    bytes: int
    hash: str


def draw_sample(out: Path, units: Sequence[Unit], train_bytes: int) -> Sample:
    """Documents by ascending lot until their texts reach `train_bytes` (the last one whole), then put in order of id.

    Only the training split is drawn from: held-out text shapes nothing. Memory holds what may still be chosen.
    """
    pool = _Candidates(train_bytes)
    for index, unit in enumerate(units):
        found = read_lots(out, unit)
        rows = np.flatnonzero(found.split == _TRAIN)
        signatures = signatures_path(out, unit)
        pool.add(
            lot=found.lot[rows],
            bytes=found.bytes[rows],
            unit=np.full(len(rows), index),
            row=rows,
            id=column(signatures, "id")[rows],
            text=column(signatures, "text")[rows],
        )
    chosen = pool.cut()
    order = np.lexsort(chosen["id"].T[::-1])
    digest = xxhash.xxh3_128(np.hstack([chosen["id"], chosen["text"]])[order].tobytes())
    return Sample(
        chosen["unit"][order],
        chosen["row"][order],
        chosen["id"][order],
        int(chosen["bytes"].sum()),
        digest.hexdigest(),
    )


class _Candidates:
    """The documents of smallest lot seen so far."""

    def __init__(self, train_bytes: int) -> None:
        self._limit = train_bytes
        self._parts: list[dict[str, np.ndarray]] = []
        self._rows = self._rows_after_cut = 0

    def add(self, **columns: np.ndarray) -> None:
        self._parts.append(columns)
        self._rows += len(columns["lot"])
        if self._rows > 2 * self._rows_after_cut + 1_000_000:
            self.cut()

    def cut(self) -> dict[str, np.ndarray]:
        """Throws away what others of smaller lot have crowded out; returns the rest, by ascending lot."""
        if not self._parts:
            empty = np.empty(0, np.int64)
            ids = np.empty((0, 16), np.uint8)
            return {"lot": empty, "bytes": empty, "unit": empty, "row": empty, "id": ids, "text": ids}
        whole = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        order = np.lexsort((*whole["id"].T[::-1], whole["lot"]))
        sizes = whole["bytes"][order]
        order = order[np.cumsum(sizes) - sizes < self._limit]
        whole = {name: values[order] for name, values in whole.items()}
        self._parts, self._rows, self._rows_after_cut = [whole], len(order), len(order)
        return whole


def read_sample(out: Path, units: Sequence[Unit], sample: Sample) -> Iterator[str]:
    """The texts of the sample, in its order. Holds all of them: at most `train_bytes` and one document."""
    texts: list[str] = [""] * len(sample.row)
    for index in np.unique(sample.unit).tolist():
        places = np.flatnonzero(sample.unit == index)
        places = places[np.argsort(sample.row[places], kind="stable")]
        start = 0
        for batch in kept_batches(out, units[index]):
            rows = sample.row[places]
            here = (rows >= start) & (rows < start + len(batch))
            taken = batch.column("text").take(pa.array(rows[here] - start))
            for place, text in zip(places[here].tolist(), taken.to_pylist(), strict=True):
                texts[place] = text
            start += len(batch)
    yield from texts
