"""Shards, mapped: the token array of a shard is a view of the file, and opening one costs no reading."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa

from configs.errors import MachineError, Problem, UserError
from data_pipeline.shards.schema import ShardInfo, read_info, token_dtype

MAX_OPEN = 1000
"""The kernel allows about 65,000 maps per process, and a process has others than ours."""


class ShardReader:
    """One shard, memory-mapped.

    tokens:  read-only view, uint16 or uint32 [tokens], no copy
    offsets: int64 [documents + 1]; document i = tokens[offsets[i]:offsets[i + 1]], its last id ends it

    The arrays stay valid for as long as someone holds them, also after the reader is gone.
    Raises UserError (absent, not a shard, newer format) or MachineError (damaged). Checksums are `data verify`'s work.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        where = str(path)
        try:
            with pa.memory_map(where, "r") as mapped:
                stream = pa.ipc.open_stream(mapped)
                self.info: ShardInfo = read_info(stream.schema, where)
                batch = stream.read_next_batch()
                self._check_shape(stream, batch)
        except FileNotFoundError:
            raise UserError(Problem("no such shard", where, "make it again: millrace data run")) from None
        except (pa.ArrowException, OSError, StopIteration, ValueError, KeyError) as error:
            raise _damaged(where, str(error) or "it ends before its record batch") from error
        self._batch = batch

    def _check_shape(self, stream: pa.RecordBatchReader, batch: pa.RecordBatch) -> None:
        """The cheap part of trust: everything that would make an index run out of the map, in O(1) reads."""
        expected = pa.large_list(pa.from_numpy_dtype(token_dtype(self.info.vocab_size)))
        if stream.schema.names != ["tokens", "doc_id", "url", "source"]:
            raise ValueError(f"columns {stream.schema.names}")
        if stream.schema.field("tokens").type != expected:
            raise ValueError(f"tokens of type {stream.schema.field('tokens').type}, expected {expected}")
        if next(iter(stream), None) is not None:
            raise ValueError("more than one record batch")
        column = batch.column(0)
        self.tokens: np.ndarray = column.values.to_numpy(zero_copy_only=True)
        self.offsets: np.ndarray = column.offsets.to_numpy(zero_copy_only=True)
        if len(self.offsets) and (self.offsets[0] != 0 or self.offsets[-1] != len(self.tokens)):
            raise ValueError("offsets that do not cover the tokens")

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self._batch)

    @property
    def source(self) -> str:
        """Name of the one source this shard holds."""
        return self.info.source

    def doc_id(self, index: int) -> bytes:
        """The 16 bytes of document `index`'s id."""
        return self._batch.column(1)[index].as_py()

    def url(self, index: int) -> str:
        """Where document `index` came from; may be empty."""
        return self._batch.column(2)[index].as_py()

    def document(self, index: int) -> np.ndarray:
        """The ids of document `index`, end-of-document id included; a view."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def validate(self) -> None:
        """Reads everything: offsets in order, texts in UTF-8. Raises pa.ArrowInvalid where they are not."""
        self._batch.validate(full=True)

    def document_at(self, token_index: int) -> int:
        """The document that holds token `token_index` (counted from the start of this shard). IndexError beyond it."""
        if not 0 <= token_index < len(self.tokens):
            raise IndexError(f"token {token_index} of a shard of {len(self.tokens)}")
        return int(np.searchsorted(self.offsets, token_index, side="right")) - 1


class ShardCache:
    """Opens shards when they are first asked for and keeps the most recently used `capacity` mapped. Thread-safe."""

    def __init__(self, capacity: int = MAX_OPEN) -> None:
        if not 1 <= capacity <= MAX_OPEN:
            raise ValueError(f"capacity must be 1 to {MAX_OPEN}, got {capacity}")
        self.capacity = capacity
        self._open: OrderedDict[str, ShardReader] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path | str) -> ShardReader:
        """The reader of `path`, opened now if it is not."""
        key = str(path)
        with self._lock:
            reader = self._open.get(key)
            if reader is None:
                reader = self._open[key] = ShardReader(key)
            self._open.move_to_end(key)
            while len(self._open) > self.capacity:
                self._open.popitem(last=False)
            return reader

    def __len__(self) -> int:
        return len(self._open)


def _damaged(where: str, why: str) -> MachineError:
    return MachineError(
        f"damaged shard: {why}",
        where,
        go_on="millrace data verify lists all that is damaged; millrace data run makes it again",
    )
