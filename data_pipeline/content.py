"""The hash of a table's content: of its values alone, whatever the batches, paddings or offsets that carry them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash


class ContentHash:
    """xxh3-128 over rows fed batch by batch. Two tables of one schema have equal hashes if their rows are equal.

    Each column feeds hashers of its own (validity, lengths, bytes), so the borders of batches leave no trace.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._hashers: dict[str, xxhash.xxh3_128] = {}
        self.rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Feeds the rows of `batch`, whose schema must be that given at the start."""
        self.rows += batch.num_rows
        for field, column in zip(self._schema, batch.columns, strict=True):
            self._feed(field.name, column)

    def hexdigest(self) -> str:
        """32 hex digits; may be asked again after more rows."""
        whole = xxhash.xxh3_128(f"{self.rows}".encode())
        for name in sorted(self._hashers):
            whole.update(f"\0{name}\0".encode() + self._hashers[name].digest())
        return whole.hexdigest()

    def _add(self, path: str, data: object) -> None:
        if path not in self._hashers:
            self._hashers[path] = xxhash.xxh3_128()
        self._hashers[path].update(data)  # type: ignore[arg-type]

    def _feed(self, path: str, column: pa.Array) -> None:
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.dictionary_decode()
            kind = column.type
        if column.null_count:
            # The value below a null is arbitrary: mark the place, feed the rest.
            self._add(path + "?", pc.is_valid(column).to_numpy(zero_copy_only=False))
            column = column.drop_null()
        else:
            self._add(path + "?", np.ones(len(column), dtype=bool))
        if pa.types.is_map(kind):
            self._lengths(path, np.asarray(column.offsets))
            self._feed(path + ".key", column.keys[column.offsets[0].as_py() : column.offsets[-1].as_py()])
            self._feed(path + ".item", column.items[column.offsets[0].as_py() : column.offsets[-1].as_py()])
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self._lengths(path, np.asarray(column.offsets))
            self._feed(path + ".item", column.flatten())
        elif pa.types.is_struct(kind):
            for index in range(kind.num_fields):
                self._feed(f"{path}.{kind.field(index).name}", column.field(index))
        elif pa.types.is_fixed_size_binary(kind):
            width, data = kind.byte_width, column.buffers()[1]
            first, last = column.offset * width, (column.offset + len(column)) * width
            self._add(path, memoryview(data)[first:last] if data is not None else b"")
        elif pa.types.is_string(kind) or pa.types.is_binary(kind):
            self._strings(path, column, np.int32)
        elif pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
            self._strings(path, column, np.int64)
        else:
            self._add(path, np.ascontiguousarray(column.to_numpy(zero_copy_only=False)))

    def _lengths(self, path: str, offsets: np.ndarray) -> None:
        self._add(path + "#", np.ascontiguousarray(np.diff(offsets).astype("<i8")))

    def _strings(self, path: str, column: pa.Array, width: type) -> None:
        if not len(column):
            return
        _, starts, data = column.buffers()
        offsets: np.ndarray = np.frombuffer(starts, dtype=width)[column.offset : column.offset + len(column) + 1]
        self._lengths(path, offsets)
        if data is not None:
            self._add(path, memoryview(data)[int(offsets[0]) : int(offsets[-1])])
