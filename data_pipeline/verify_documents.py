"""Are these documents what documents.json says? Every Parquet file is read again, to its last row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.errors import MachineError, Problem
from data_pipeline.documents import SCHEMA
from data_pipeline.documents_manifest import DOCUMENTS, FileEntry, load_documents_manifest
from data_pipeline.parquet_stage import FOLDER
from data_pipeline.progress import Progress
from data_pipeline.shards.atomic import file_xxh3
from data_pipeline.shards.manifest import MANIFEST
from data_pipeline.verify import Verification, stats, sums, verify


@dataclass
class DocumentsVerification:
    """What was checked and what is wrong. text_bytes: of texts in UTF-8. bytes: read from files."""

    corpus_id: str = ""
    files: int = 0
    documents: int = 0
    text_bytes: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def counted(self) -> str:
        """How much was checked, in a few words."""
        size = f"{self.text_bytes:,} bytes of text, {self.bytes:,} bytes"
        return f"{self.files:,} Parquet files, {self.documents:,} documents, {size}"


def verify_all(directory: Path, report: Progress) -> list[Verification | DocumentsVerification]:
    """Every corpus of a directory: its documents, its shards, or both. UserError: there is none."""
    found: list[Verification | DocumentsVerification] = []
    documents = (directory / DOCUMENTS).exists()
    if (directory / MANIFEST).exists() or not documents:
        found.append(verify(directory, report))
    if documents:
        found.append(verify_documents(directory, report))
    return found


def verify_documents(directory: Path, report: Progress) -> DocumentsVerification:
    """Rereads documents.json and every file of it. UserError: there are no documents in `directory`."""
    found = DocumentsVerification()
    path = directory / DOCUMENTS
    try:
        manifest = load_documents_manifest(directory)
    except MachineError as error:
        found.problems.append(Problem(error.what, error.where))
        return found
    found.corpus_id = manifest.corpus_id
    if path.read_bytes() != manifest.to_json():
        found.problems.append(Problem("its bytes are not those it was written with", str(path)))
    total = sum(entry.documents for entry in manifest.files)
    wrong = [*sums(manifest.stages, total, "files")]
    if len({entry.path for entry in manifest.files}) != len(manifest.files):
        wrong.append("a file is listed twice")
    found.problems += [Problem(what, str(path)) for what in wrong]
    found.problems += stats(directory, manifest.corpus_id)
    with report.stage("verify", sum(entry.bytes for entry in manifest.files)) as stage:
        for entry in manifest.files:
            where = str(directory / entry.path)
            found.problems += [Problem(what, where) for what in _file(directory, entry)]
            found.files += 1
            found.documents += entry.documents
            found.text_bytes += entry.text_bytes
            found.bytes += entry.bytes
            stage.advance(entry.bytes)
    listed = {directory / entry.path for entry in manifest.files}
    for extra in sorted((directory / FOLDER).rglob("*")):
        if extra.is_file() and extra not in listed and not extra.name.startswith("."):
            found.problems.append(Problem("not in documents.json", str(extra)))
    return found


def _file(directory: Path, entry: FileEntry) -> Iterator[str]:
    if not entry.path.startswith(f"{FOLDER}/") or ".." in entry.path.split("/"):
        yield f"{entry.path!r} is no place for a file of documents"
        return
    path = directory / entry.path
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            yield f"{size:,} bytes, documents.json says {entry.bytes:,}"
        elif (digest := file_xxh3(path)) != entry.xxh3:
            yield f"xxh3 is {digest}, documents.json says {entry.xxh3}"
        else:
            # From here on the bytes are those that were written: what is found now was written wrong.
            yield from _content(path, entry)
    except (OSError, pa.ArrowException) as error:
        yield f"cannot be read: {getattr(error, 'strerror', None) or str(error).splitlines()[0]}"


def _content(path: Path, entry: FileEntry) -> Iterator[str]:
    rows = text = 0
    sources: set[str] = set()
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if not file.schema_arrow.equals(SCHEMA):
            yield f"other columns than those of a document: {', '.join(file.schema_arrow.names)}"
            return
        for batch in file.iter_batches(1000):
            batch.validate(full=True)
            rows += len(batch)
            text += int(pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0)
            sources |= set(pc.unique(batch.column("source").dictionary_decode()).to_pylist())
    pairs = {
        "number of documents": (rows, entry.documents),
        "bytes of text": (text, entry.text_bytes),
        "source": (", ".join(sorted(sources)), entry.source if rows else ""),
    }
    for name, (got, want) in pairs.items():
        if got != want:
            yield f"{name} is {got}, documents.json says {want}"
