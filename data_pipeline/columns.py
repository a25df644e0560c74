"""One column of a unit's file as an array, for what works on whole units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.output import read_batches


def column(path: Path, name: str) -> np.ndarray:
    """The column, in the order of rows: uint8 [rows, 16] for ids and hashes, else [rows] of the column's own dtype.

    Raises MachineError where the file is absent or damaged.
    """
    chunks = [batch.column(name) for batch in read_batches(path, [name])]
    if not chunks:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            chunks = [pa.array([], reader.schema.field(name).type)]
    array = pa.concat_arrays(chunks)
    if pa.types.is_fixed_size_binary(array.type):
        width = array.type.byte_width
        data = array.buffers()[1]
        whole = np.frombuffer(data if data is not None else b"", np.uint8)
        return whole[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)
    return array.to_numpy(zero_copy_only=False)


def coded(path: Path, name: str) -> tuple[np.ndarray, list[str]]:
    """A column of strings: of each row the place of its value, int32 [rows], and the different values."""
    chunks = [batch.column(name) for batch in read_batches(path, [name])]
    if not chunks:
        return np.empty(0, np.int32), []
    array = pa.chunked_array(chunks).combine_chunks().dictionary_encode()
    return array.indices.to_numpy(), array.dictionary.to_pylist()
