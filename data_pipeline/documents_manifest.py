"""documents.json: what a corpus of clean documents is, to the byte; the counterpart of manifest.json for runs that end
before the tokenizer (`data.product: documents`).

```
{"format": 1, "corpus_id": "...", "files": [{"path", "source", "documents", "text_bytes", "bytes", "xxh3"}, ...],
 "inputs": ..., "config": ..., "stages": ..., "versions": ...}     as in manifest.json
```
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from configs.errors import MachineError, Problem, UserError
from data_pipeline.shards.atomic import whole_or_absent
from data_pipeline.shards.manifest import canonical

DOCUMENTS = "documents.json"
FORMAT = 1


@dataclass(frozen=True)
class FileEntry:
    """One Parquet file. path: relative to the corpus. text_bytes: of its texts in UTF-8. bytes, xxh3: of the file."""

    path: str
    source: str
    documents: int
    text_bytes: int
    bytes: int
    xxh3: str


@dataclass(frozen=True)
class DocumentsManifest:
    """Clean documents as files, in order of units."""

    files: list[FileEntry]
    inputs: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def corpus_id(self) -> str:
        """xxh3-128 of the content, hex."""
        return xxhash.xxh3_128_hexdigest(canonical(self._content()))

    @property
    def sources(self) -> list[str]:
        """Names of the sources that have a file, in the order in which they first occur."""
        return list(dict.fromkeys(entry.source for entry in self.files))

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "files": [asdict(entry) for entry in self.files],
            "inputs": self.inputs,
            "config": self.config,
            "stages": self.stages,
            "versions": self.versions,
        }

    def to_json(self) -> bytes:
        """The bytes of documents.json: keys sorted, one space of indentation, UTF-8, a newline at the end."""
        content = {**self._content(), "corpus_id": self.corpus_id}
        return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def write_documents_manifest(directory: Path, manifest: DocumentsManifest) -> None:
    """Writes documents.json whole or not at all, and not again where it is there already."""
    path = directory / DOCUMENTS
    if not path.is_file() or path.read_bytes() != manifest.to_json():
        with whole_or_absent(path) as temporary:
            temporary.write_bytes(manifest.to_json())


def load_documents_manifest(directory: Path) -> DocumentsManifest:
    """Reads DIR/documents.json. UserError: none there, or of a newer format. MachineError: damaged."""
    path = directory / DOCUMENTS
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content["format"], int) and content["format"] > FORMAT:
            what = f"format {content['format']} is newer than the newest this program reads ({FORMAT})"
            raise UserError(Problem(what, str(path)))
        manifest = DocumentsManifest(
            files=[FileEntry(**entry) for entry in content["files"]],
            inputs=content["inputs"],
            config=content["config"],
            stages=content["stages"],
            versions=content["versions"],
        )
        if manifest.corpus_id != content["corpus_id"]:
            raise ValueError(f"its content hashes to {manifest.corpus_id}, it says {content['corpus_id']}")
    except (FileNotFoundError, NotADirectoryError):
        hint = f"make them: millrace data run CONFIG data.product=documents data.dir={directory}"
        raise UserError(Problem("no documents here: documents.json is missing", str(path), hint)) from None
    except (ValueError, KeyError, TypeError) as error:
        go_on = "the command that made the documents makes it again: millrace data run"
        raise MachineError(f"damaged list of documents: {error}", str(path), go_on=go_on) from error
    return manifest
