"""Files that exist whole or not at all, and that carry the fingerprint of what they were made from.

A file is written under a temporary name unique to the attempt, fsynced, renamed into place, and its folder fsynced:
whenever the process dies, the final name holds the old file, the new one, or none. An Arrow output holds its
fingerprint in the schema metadata and its summary (counters as JSON) in the metadata of a last, empty batch, so a
file that ends too early is recognised as damaged.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import xxhash

from configs.errors import MachineError
from data_pipeline.content import ContentHash
from data_pipeline.shards.atomic import PARTIAL, attempt_path, fsync_directory, make_directory

FINGERPRINT_KEY = b"millrace.fingerprint"
SUMMARY_KEY = b"millrace.summary"
_ABANDONED_AFTER_SECONDS = 24 * 3600


def fingerprint(**parts: Any) -> str:
    """32 hex digits: xxh3-128 of the parts as canonical JSON (keys sorted, no blanks). Values must be JSON."""
    return xxhash.xxh3_128_hexdigest(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))


class AtomicFile:
    """A binary file that appears at `path` when `commit` is called, and never otherwise.

    Raises MachineError where the disk refuses (full, read-only, gone); what was begun is then taken away.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.temporary = attempt_path(self.path)
        with self._faults():
            # Readable to its owner alone, also in a directory that others may read: a corpus may hold private things.
            make_directory(self.path.parent)
            self.file: IO[bytes] = os.fdopen(os.open(self.temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "wb")

    def commit(self) -> None:
        with self._faults():
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            self.temporary.replace(self.path)
            fsync_directory(self.path.parent)

    def abandon(self) -> None:
        """Takes the attempt away; the final name keeps what it had."""
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self.temporary.unlink()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if hasattr(self, "file"):
                self.abandon()
            raise write_fault(self.path, error) from error


def write_fault(path: Path, error: OSError) -> MachineError:
    """The fault to raise where `path` could not be written."""
    return MachineError(
        f"cannot write: {error.strerror or error}",
        where=str(path),
        saved="every output finished before this one",
        go_on="make room or mend the folder, then give the same command again: finished outputs are not made again",
    )


class ArrowOutput:
    """An Arrow IPC stream file (zstd) under way. `write` batches, then `commit`; as a context manager it abandons the
    attempt when the block is left without a commit."""

    def __init__(self, path: Path, schema: pa.Schema, fingerprint: str) -> None:
        metadata = {**(schema.metadata or {}), FINGERPRINT_KEY: fingerprint.encode()}
        self._schema = schema.with_metadata(metadata)
        self._target = AtomicFile(path)
        self._content = ContentHash(schema)
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with self._target._faults():
            self._writer = pa.ipc.new_stream(self._target.file, self._schema, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows. Empty batches are dropped: only the last one, written by `commit`, is empty."""
        if not batch.num_rows:
            return
        self._content.update(batch)
        with self._target._faults():
            self._writer.write_batch(batch.replace_schema_metadata(self._schema.metadata))

    def commit(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Ends the file and gives it its name. Returns the summary as written: with `rows` and `content`."""
        written = {**summary, "rows": self._content.rows, "content": self._content.hexdigest()}
        last = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in self._schema], schema=self._schema)
        with self._target._faults():
            self._writer.write_batch(last, custom_metadata={SUMMARY_KEY: orjson.dumps(written)})
            self._writer.close()
        self._target.commit()
        return written

    def __enter__(self) -> ArrowOutput:
        return self

    def __exit__(self, *_: object) -> None:
        # After a commit the temporary name is gone and this does nothing.
        self._target.abandon()


def write_arrow(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    fingerprint: str,
    summary: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Writes `batches` to `path` atomically. `summary` is asked once all batches are through.

    Returns the summary as written: with `rows` and `content` (32 hex digits: xxh3-128 of the rows' values).
    """
    with ArrowOutput(path, schema, fingerprint) as output:
        for batch in batches:
            output.write(batch)
        return output.commit(summary())


def read_fingerprint(path: Path) -> str | None:
    """The fingerprint of an Arrow output; None where there is no file, or one that is damaged or unfinished."""
    try:
        with pa.memory_map(str(path)) as file:
            schema, _ = _last_batch(file)
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return None
    value = (schema.metadata or {}).get(FINGERPRINT_KEY)
    return value.decode() if value else None


def read_summary(path: Path) -> dict[str, Any]:
    """The summary of an Arrow output. Raises MachineError where the file is absent or damaged."""
    try:
        with pa.memory_map(str(path)) as file:
            return _last_batch(file)[1]
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of an Arrow output, batch by batch. Raises MachineError where it is absent or damaged.

    columns: those to decompress, in the order of the schema; None: all.
    """
    try:
        chosen = None if columns is None else _places(path, columns)
        options = pa.ipc.IpcReadOptions(included_fields=chosen)
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file, options=options) as reader:
            for batch in reader:
                if batch.num_rows:
                    yield batch
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _places(path: Path, columns: Sequence[str]) -> list[int]:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return [place for place, name in enumerate(reader.schema.names) if name in columns]


def write_bytes(path: Path, value: bytes) -> None:
    """Writes a file atomically."""
    target = AtomicFile(path)
    try:
        with target._faults():
            target.file.write(value)
        target.commit()
    finally:
        target.abandon()


def write_json(path: Path, value: Any) -> None:
    """Writes `value` atomically as indented JSON with sorted keys: equal values give equal bytes."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    write_bytes(path, orjson.dumps(value, option=options))


def remove_leftovers(directory: Path) -> int:
    """Removes what dead attempts left under `directory`; returns how many. Attempts of living processes stay, and
    those of other hosts, which cannot be asked, until they are a day old."""
    removed = 0
    host = socket.gethostname()
    for path in Path(directory).rglob(f".*{PARTIAL}"):
        try:
            before, process, _ = path.name.removesuffix(PARTIAL).rsplit(".", 2)
            if before.endswith(f".{host}"):
                alive = _alive(int(process))
            else:
                alive = time.time() - path.stat().st_mtime < _ABANDONED_AFTER_SECONDS
            if not alive:
                path.unlink()
                removed += 1
        except (ValueError, FileNotFoundError):
            continue  # not a name of ours, or gone meanwhile
    return removed


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _last_batch(file: pa.NativeFile) -> tuple[pa.Schema, dict[str, Any]]:
    """Schema and summary, found without decompressing the rows: bodies of a mapped file are not touched."""
    messages = pa.ipc.MessageReader.open_stream(file)
    head: list[pa.Message] = []
    last: pa.Message | None = None
    with contextlib.suppress(StopIteration):
        while True:
            message = messages.read_next_message()
            if message.type == "record batch":
                last = message
            else:
                head.append(message)  # the schema and the dictionaries
    if last is None:
        raise ValueError("no batch")
    stream = pa.BufferOutputStream()
    for message in [*head, last]:
        stream.write(message.serialize())
    with pa.ipc.open_stream(stream.getvalue()) as reader:
        summary = reader.read_next_batch_with_custom_metadata().custom_metadata
        return reader.schema, orjson.loads((summary or {})[SUMMARY_KEY])


def _unreadable(path: Path, error: Exception) -> MachineError:
    return MachineError(
        f"cannot read: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
        where=str(path),
        go_on="remove the file and give the same command again: it will be made again",
    )
