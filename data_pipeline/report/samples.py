"""Documents to look at: a few that were kept, and a few of each reason of rejection."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from configs.errors import MachineError, UserError
from data_pipeline.documents_manifest import load_documents_manifest
from data_pipeline.output import read_batches
from data_pipeline.shards import Manifest, ShardReader
from data_pipeline.tokenize.codec import Codec

KEPT_PER_CORPUS = 6
REJECTED_PER_REASON = 2
_FILES = 40
_TOKENS = 220
_CHARACTERS = 2000
_AMONG = 50

T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """One document. note: what was measured, or which document it copies. text: its beginning; "" where withheld."""

    id: str
    url: str
    source: str
    stage: str
    reason: str
    note: str
    text: str


def kept(directory: Path, manifest: Manifest) -> list[Example]:
    """From the training shards: each begins with the documents of smallest lot, which is a fair draw."""
    codec = Codec.load(directory / manifest.tokenizer_path)
    first = {entry.source: entry for entry in reversed(manifest.splits.get("train", []))}
    found: list[Example] = []
    per_source = -(-KEPT_PER_CORPUS // max(1, len(first)))
    for source in manifest.sources:
        if source not in first:
            continue
        reader = ShardReader(directory / first[source].path)
        for index in range(min(per_source, reader.documents)):
            tokens = reader.document(index)
            note = f"{len(tokens):,} tokens"
            text = codec.decode(tokens[:_TOKENS])
            found.append(Example(reader.doc_id(index).hex(), reader.url(index), source, "", "kept", note, text))
    return found[:KEPT_PER_CORPUS]


def kept_documents(directory: Path) -> list[Example]:
    """One of the first documents of each of a few files, the one of smallest id: ids are hashes."""
    files = [entry for entry in load_documents_manifest(directory).files if entry.documents]
    found: list[Example] = []
    for entry in _spread(files, KEPT_PER_CORPUS):
        with pq.ParquetFile(directory / entry.path) as file:
            first = next(file.iter_batches(_AMONG, columns=["id", "url", "source", "text"]))
        row = min(first.to_pylist(), key=lambda row: row["id"])
        note = f"{len(row['text']):,} characters"
        found.append(Example(row["id"].hex(), row["url"], row["source"], "", "kept", note, row["text"][:_CHARACTERS]))
    return found


def rejected(directory: Path) -> list[Example]:
    """Up to REJECTED_PER_REASON of each stage and reason, from files spread evenly over the corpus; [] without work/."""
    found: dict[tuple[str, str], list[Example]] = {}
    for example in _rejects(directory / "work"):
        same = found.setdefault((example.stage, example.reason), [])
        if len(same) < REJECTED_PER_REASON:
            same.append(example)
    return [example for key in sorted(found) for example in found[key]]


def _rejects(work: Path) -> Iterator[Example]:
    for path in _spread(sorted((work / "rejects").glob("*/*/*.arrow"))):
        for batch in _batches(path):
            for row in batch.to_pylist():
                yield Example(
                    row["id"].hex(), row["url"], row["source"], row["stage"], row["reason"],
                    f"measured {row['value']:.4g}", row["text"],
                )  # fmt: skip
    for path in _spread(sorted((work / "verdicts").glob("*/*/*.arrow"))):
        yield from _filtered(path, work / "documents" / path.relative_to(work / "verdicts"))
    for path in _spread(sorted((work / "decisions").glob("*/*/*.arrow"))):
        yield from _duplicates(path, work / "documents" / path.relative_to(work / "decisions"))
    for path in _spread(sorted((work / "balance").glob("*/*/*.arrow"))):
        place = path.relative_to(work / "balance")
        yield from _capped(path, work / "decisions" / place, work / "documents" / place)


def _filtered(verdicts: Path, documents: Path) -> Iterator[Example]:
    gone = {
        row["id"]: row
        for batch in _batches(verdicts)
        for row in batch.filter(pc.invert(batch.column("keep"))).to_pylist()
    }
    left: dict[str, int] = {}
    for doc_id, row in _rows(documents, gone):
        verdict = gone[doc_id]
        left[verdict["reason"]] = left.get(verdict["reason"], REJECTED_PER_REASON) - 1
        if left[verdict["reason"]] >= 0:
            note = f"measured {verdict['value']:.4g}"
            yield Example(doc_id.hex(), row["url"], row["source"], "filter", verdict["reason"], note, row["text"])


def _duplicates(decisions: Path, documents: Path) -> Iterator[Example]:
    gone = {
        row["id"]: row
        for batch in _batches(decisions)
        for row in batch.filter(pc.invert(batch.column("keep"))).to_pylist()
    }
    for doc_id, row in itertools.islice(_rows(documents, gone), REJECTED_PER_REASON):
        note = f"copy of {gone[doc_id]['kept_id'].hex()}"
        yield Example(doc_id.hex(), row["url"], row["source"], "dedup", gone[doc_id]["reason"], note, row["text"])


def _capped(balance: Path, decisions: Path, documents: Path) -> Iterator[Example]:
    reasons = [reason for batch in _batches(balance) for reason in batch.column("reason").to_pylist()]
    if not any(reasons):
        return
    ids = [doc_id for batch in _batches(decisions) for doc_id in batch.column("id").to_pylist()]
    few: dict[bytes, str] = {}
    left: dict[str, int] = {}
    for doc_id, reason in zip(ids, reasons, strict=False):  # a missing file costs its samples only
        if reason:
            left[reason] = left.get(reason, REJECTED_PER_REASON) - 1
            if left[reason] >= 0:
                few[doc_id] = reason
    for doc_id, row in _rows(documents, few):
        note = "others of smaller lot fill the cap"
        yield Example(doc_id.hex(), row["url"], row["source"], "balance", few[doc_id], note, row["text"])


def _rows(documents: Path, wanted: Container[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Id and row of the documents that are wanted, in order."""
    for batch in _batches(documents):
        for i, doc_id in enumerate(batch.column("id").to_pylist()):
            if doc_id in wanted:
                yield doc_id, batch.slice(i, 1).to_pylist()[0]


def _spread(found: Sequence[T], most: int = _FILES) -> Sequence[T]:
    return [found[i * len(found) // most] for i in range(most)] if len(found) > most else found


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """A report tells what it can: a damaged or missing file of work/ costs its samples only."""
    try:
        yield from read_batches(path)
    except (MachineError, UserError):
        return
