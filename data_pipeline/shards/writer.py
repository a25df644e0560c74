"""Writing one shard with flat memory: tokens go to a scratch file, and the shard is written from its map."""

from __future__ import annotations

import mmap
import shutil
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_pipeline.shards.atomic import file_xxh3, make_directory, whole_or_absent
from data_pipeline.shards.manifest import ShardEntry, shard_name
from data_pipeline.shards.schema import ShardInfo, shard_schema, token_dtype


class _Spill:
    """Byte strings appended to a file; memory holds their borders only (8 bytes each)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w+b", buffering=1 << 20)
        self.ends = array("q", [0])

    def append(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.ends.append(self.ends[-1] + len(data))

    def reordered(self, order: np.ndarray) -> _Spill:
        """The same strings in another order, in a new file; this one's is deleted."""
        result = _Spill(self.path.with_name(self.path.name + ".ordered"))
        content = memoryview(self.mapped())
        ends = self.ends
        for index in order.tolist():
            result.append(content[ends[index] : ends[index + 1]])
        del content
        self.close()
        return result

    def mapped(self) -> pa.Buffer:
        """All strings, concatenated, as a view of the file."""
        self._file.flush()
        if self.ends[-1] == 0:  # an empty file cannot be mapped
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(self._file.fileno(), self.ends[-1], access=mmap.ACCESS_READ))

    def close(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class ShardWriter:
    """Collects the documents of one shard, in any order, and writes it whole or not at all.

    path: the file to be; its name is what the returned entry carries. scratch_dir: on a disk with room for twice the
    tokens (default: a directory beside the shard). fingerprint: see ShardInfo. Use it as a context manager: leaving
    it without `close()` (by an exception, say) removes the scratch files and writes nothing.
    """

    def __init__(
        self,
        path: Path,
        source: str,
        split: str,
        vocab_size: int,
        end_of_document: int,
        tokenizer_hash: str,
        scratch_dir: Path | None = None,
        fingerprint: str = "",
    ) -> None:
        self.path = Path(path)
        self.info = ShardInfo(source, split, vocab_size, end_of_document, tokenizer_hash, fingerprint)
        self.dtype = token_dtype(vocab_size)
        if not 0 <= end_of_document < vocab_size:
            raise ValueError(f"end-of-document id {end_of_document} outside a vocabulary of {vocab_size}")
        make_directory(self.path.parent)
        if scratch_dir is not None:
            make_directory(scratch_dir)
        self._scratch = Path(tempfile.mkdtemp(prefix=".spill-", dir=scratch_dir or self.path.parent))
        self._tokens = _Spill(self._scratch / "tokens")
        self._urls = _Spill(self._scratch / "urls")
        self._ids = bytearray()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.discard()

    @property
    def documents(self) -> int:
        """Documents appended so far."""
        return len(self._ids) // 16

    def append(self, doc_id: bytes, url: str, tokens: np.ndarray) -> None:
        """Adds one document: `tokens` = encode(text), any integer dtype, *without* the end-of-document id, added here.

        ValueError for an id that the vocabulary does not hold.
        """
        if len(doc_id) != 16:
            raise ValueError(f"a document id has 16 bytes, got {len(doc_id)}")
        if len(tokens) and (int(tokens.min()) < 0 or int(tokens.max()) >= self.info.vocab_size):
            low, high = tokens.min(), tokens.max()
            raise ValueError(f"token ids {low} to {high} outside a vocabulary of {self.info.vocab_size}")
        row = np.empty(len(tokens) + 1, self.dtype)
        row[:-1] = tokens
        row[-1] = self.info.end_of_document
        self._tokens.append(row.tobytes())
        self._urls.append(url.encode("utf-8"))
        self._ids += doc_id

    def close(
        self, order: np.ndarray | None = None, before_rename: Callable[[ShardEntry], None] = lambda entry: None
    ) -> ShardEntry:
        """Writes the shard and returns its entry for the manifest.

        order: int64 [documents], a permutation: the i-th document of the shard is the order[i]-th appended. None keeps
        the order of appending. before_rename: called with the entry once the file is whole, before it takes its name.
        ValueError when there is no document: an empty shard is never written.
        """
        if not self.documents:
            raise ValueError(f"{self.path}: a shard without documents")
        ids = np.frombuffer(bytes(self._ids), np.uint8).reshape(-1, 16)
        if order is not None:
            if not np.array_equal(np.sort(order), np.arange(self.documents)):
                raise ValueError("order is not a permutation of the documents")
            ids = np.ascontiguousarray(ids[order])
            self._tokens = self._tokens.reordered(order)
            self._urls = self._urls.reordered(order)
        batch = self._batch(ids)
        with whole_or_absent(self.path) as temporary:
            with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_stream(file, batch.schema) as stream:
                stream.write_batch(batch)
            entry = ShardEntry(
                path=shard_name(self.info.split, self.path.name),
                source=self.info.source,
                documents=len(batch),
                tokens=self._tokens.ends[-1] // self.dtype.itemsize,
                bytes=temporary.stat().st_size,
                xxh3=file_xxh3(temporary),
            )
            before_rename(entry)
        del batch
        self.discard()
        return entry

    def _batch(self, ids: np.ndarray) -> pa.RecordBatch:
        schema = shard_schema(self.info)
        count = len(ids)
        width = self.dtype.itemsize
        token_ends = np.frombuffer(self._tokens.ends, np.int64) // width
        values = pa.Array.from_buffers(
            schema.field("tokens").type.value_type, int(token_ends[-1]), [None, self._tokens.mapped()]
        )
        url_ends = np.frombuffer(self._urls.ends, np.int64)
        return pa.RecordBatch.from_arrays(
            [
                pa.LargeListArray.from_arrays(pa.array(token_ends), values),
                pa.Array.from_buffers(pa.binary(16), count, [None, pa.py_buffer(ids.tobytes())]),
                pa.Array.from_buffers(
                    pa.large_string(), count, [None, pa.py_buffer(url_ends.tobytes()), self._urls.mapped()]
                ),
                pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([self.info.source])),
            ],
            schema=schema,
        )

    def discard(self) -> None:
        """Removes the scratch files. Harmless after `close()`."""
        self._tokens.close()
        self._urls.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
