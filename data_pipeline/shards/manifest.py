"""manifest.json: what a corpus is, to the byte. Two equal runs write the same file; its hash is the corpus id.

```
{"format": 1, "corpus_id": "...", "parent": null,
 "tokenizer": {"path", "hash", "vocab_size", "end_of_document", "bytes"},
 "splits": {"train": [{"path", "source", "documents", "tokens", "bytes", "xxh3"}, ...],
            "validation": [...], "test": [...]},
 "inputs": {source: {"units", "bytes", "xxh3", "records", "skipped", "damaged"}}, "config": {content keys},
 "stages": [{"name", "documents": {...}, "bytes": {...}}, ...], "versions": {...}}
```
`corpus_id` = xxh3-128 (hex) of the canonical JSON of everything else; a manifest whose id does not match is damaged.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import xxhash

from configs.errors import MachineError, Problem, UserError
from data_pipeline.shards.atomic import whole_or_absent
from data_pipeline.shards.schema import SPLITS

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1


@dataclass(frozen=True)
class ShardEntry:
    """One shard as the manifest knows it.

    path: relative to the corpus, with `/`. bytes: of the file. xxh3: xxh3-128 of the file, hex.
    """

    path: str
    source: str
    documents: int
    tokens: int
    bytes: int
    xxh3: str


@dataclass(frozen=True)
class Manifest:
    """A corpus. `splits` maps split -> shards in order (grouped by source, in the config's order of sources)."""

    splits: dict[str, list[ShardEntry]]
    vocab_size: int
    end_of_document: int
    tokenizer_path: str
    tokenizer_hash: str
    tokenizer_bytes: int = 0
    inputs: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    parent: str | None = None

    @property
    def corpus_id(self) -> str:
        """xxh3-128 of the content, hex."""
        return xxhash.xxh3_128_hexdigest(canonical(self._content()))

    @property
    def sources(self) -> list[str]:
        """Names of the sources that have a shard in any split, in the order in which they first occur."""
        return list(dict.fromkeys(entry.source for shards in self.splits.values() for entry in shards))

    def tokens(self, split: str) -> int:
        """Tokens of one split."""
        return sum(entry.tokens for entry in self.splits.get(split, []))

    def _content(self) -> dict[str, Any]:
        return {
            "format": MANIFEST_FORMAT,
            "parent": self.parent,
            "tokenizer": {
                "path": self.tokenizer_path,
                "hash": self.tokenizer_hash,
                "vocab_size": self.vocab_size,
                "end_of_document": self.end_of_document,
                "bytes": self.tokenizer_bytes,
            },
            "splits": {name: [asdict(entry) for entry in shards] for name, shards in self.splits.items()},
            "inputs": self.inputs,
            "config": self.config,
            "stages": self.stages,
            "versions": self.versions,
        }

    def to_json(self) -> bytes:
        """The bytes of manifest.json: keys sorted, one space of indentation, UTF-8, a newline at the end."""
        content = {**self._content(), "corpus_id": self.corpus_id}
        return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value that hashes are taken of: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def shard_name(split: str, file_name: str) -> str:
    """Path of a shard relative to its corpus."""
    return f"shards/{split}/{file_name}"


def shard_path(source: str, split: str, index: int) -> str:
    """Path, relative to the corpus, of the index-th shard of a source's split."""
    return shard_name(split, f"{source}-{index:05d}.arrow")


def write_manifest(directory: Path, manifest: Manifest) -> str:
    """Writes manifest.json whole or not at all; returns the corpus id."""
    with whole_or_absent(Path(directory) / MANIFEST) as temporary:
        temporary.write_bytes(manifest.to_json())
    return manifest.corpus_id


def load_manifest(directory: Path | str) -> Manifest:
    """Reads DIR/manifest.json.

    UserError: no corpus there, or of a newer format. MachineError: damaged (its content does not match its id).
    """
    path = Path(directory) / MANIFEST
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        what, hint = "no corpus here: manifest.json is missing", "make one"
        if (path.parent / "documents.json").exists():
            what, hint = "no shards here: the corpus ends with documents", "data.product=shards goes on from them"
        raise UserError(Problem(what, str(path), f"{hint}: millrace data run CONFIG data.dir={directory}")) from None
    return parse_manifest(data, str(path))


def parse_manifest(data: bytes, where: str) -> Manifest:
    """A manifest from the bytes of its file; errors as load_manifest."""
    try:
        content = json.loads(data)
        version = content["format"]
        if isinstance(version, int) and version > MANIFEST_FORMAT:
            raise UserError(
                Problem(
                    f"manifest format {version} is newer than the newest this program reads ({MANIFEST_FORMAT})", where
                )
            )
        tokenizer = content["tokenizer"]
        splits = {name: [ShardEntry(**entry) for entry in shards] for name, shards in content["splits"].items()}
        if unknown := set(splits) - set(SPLITS):
            raise ValueError(f"unknown splits {sorted(unknown)}")
        manifest = Manifest(
            # The file's keys are sorted; the splits have an order of their own.
            splits={name: splits[name] for name in SPLITS if name in splits},
            vocab_size=tokenizer["vocab_size"],
            end_of_document=tokenizer["end_of_document"],
            tokenizer_path=tokenizer["path"],
            tokenizer_hash=tokenizer["hash"],
            tokenizer_bytes=tokenizer["bytes"],
            inputs=content["inputs"],
            config=content["config"],
            stages=content["stages"],
            versions=content["versions"],
            parent=content["parent"],
        )
        if manifest.corpus_id != content["corpus_id"]:
            raise ValueError(f"its content hashes to {manifest.corpus_id}, it says {content['corpus_id']}")
        for shards in manifest.splits.values():
            for entry in shards:
                _require_inside(entry.path)
        _require_inside(manifest.tokenizer_path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MachineError(
            f"damaged manifest: {error}",
            where,
            go_on="the command that made the corpus makes it again: millrace data run",
        ) from error
    return manifest


def _require_inside(path: str) -> None:
    """A path of the manifest is relative and does not leave the corpus, wherever the corpus came from."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or re.search(r"[\\\x00]", path):
        raise ValueError(f"path {path!r} leaves the corpus")
