"""A file of a checkpoint: written whole or not at all, hashed on the way to the disk."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import xxhash

from data_pipeline.shards.atomic import whole_or_absent

BLOCK_BYTES = 4 << 20


class Cancelled(Exception):
    """The checkpoint was given up while this file was on its way: another rank could not write."""


def write_file(
    path: Path, blocks: Iterable[bytes | memoryview], cancelled: threading.Event | None = None
) -> tuple[int, str]:
    """Writes the blocks, fsyncs, renames. Returns the bytes and their xxh3-128, hex: of what was meant, not of what a
    failing disk made of it.

    Raises OSError that names `path` whichever call failed, and Cancelled between two blocks.
    """
    digest, size = xxhash.xxh3_128(), 0
    try:
        with whole_or_absent(path) as temporary:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                for block in blocks:
                    if cancelled is not None and cancelled.is_set():
                        raise Cancelled(path)
                    digest.update(block)
                    size += len(block)
                    while block:
                        block = block[os.write(file, block) :]
            finally:
                os.close(file)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    return size, digest.hexdigest()


def safetensors_blocks(tensors: list[tuple[str, int]], values: np.ndarray) -> Iterator[bytes | memoryview]:
    """A safetensors file of 1-D float32 tensors, (key, elements) in the order in which they lie in `values`.

    The values go to the file from where they are: the format is a length, a JSON header and the bytes.
    """
    header, at = {}, 0
    for key, count in tensors:
        header[key] = {"dtype": "F32", "shape": [count], "data_offsets": [at, at + 4 * count]}
        at += 4 * count
    if at != values.nbytes:
        raise ValueError(f"{at} bytes of tensors, {values.nbytes} bytes of values")
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    data = memoryview(np.ascontiguousarray(values, dtype="<f4").view(np.uint8))  # type: ignore[arg-type]
    for start in range(0, len(data), BLOCK_BYTES):
        yield data[start : start + BLOCK_BYTES]
