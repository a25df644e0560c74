"""The two labelled sets: plain text (a document per line) or JSON lines, plain or compressed."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import xxhash

from configs.errors import Problem, UserError
from data_pipeline.clean.classifier import Normalization, prepare
from data_pipeline.progress import Stage
from data_pipeline.sources.stored import Damaged, StoredFile

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_CODINGS = (".gz", ".zst", ".bz2", ".xz", ".lz4")
_LINE_BYTES = 40_000_000


@dataclass
class Examples:
    """texts: prepared, each different. left_out: what is not among them, by reason."""

    texts: list[bytes] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str, number: int = 1) -> None:
        if number:
            self.left_out[reason] = self.left_out.get(reason, 0) + number


def find(entries: Sequence[str], option: str) -> list[Path]:
    """The files that paths and globs name. Raises UserError with all that name none."""
    found: list[Path] = []
    problems: list[Problem] = []
    for entry in entries:
        path = Path(entry).expanduser()
        names = [str(path)] if path.exists() else sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
        if not names:
            problems.append(Problem(f"no such file: {entry}", option, "check the path; a glob must match a file"))
        for name in map(Path, names):
            if not name.is_file():
                problems.append(Problem(f"not a file: {name}", option, f"name its files, such as {name}/*.jsonl"))
            elif name not in found:
                found.append(name)
    if problems:
        raise UserError(*problems)
    return found


def read(
    files: Sequence[Path], text_field: str, normalize: Normalization, max_characters: int, stage: Stage
) -> Examples:
    """All documents of one label, in order. Exact copies are used once. Files whose name ends in .jsonl, .ndjson or .json
    (and .gz, .zst ...) hold an object per line; any other a text per line. stage: told the stored bytes read."""
    examples = Examples()
    seen: set[bytes] = set()
    for path in files:
        name = path.name.lower()
        for coding in _CODINGS:
            name = name.removesuffix(coding)
        as_json = name.endswith(JSON_SUFFIXES)
        try:
            with StoredFile(str(path), told=stage.advance) as file:
                _read_one(file, text_field if as_json else "", normalize, max_characters, examples, seen)
        except OSError as error:
            raise UserError(Problem(f"cannot read: {error.strerror or error}", str(path))) from None
    return examples


def _read_one(
    file: StoredFile, text_field: str, normalize: Normalization, limit: int, examples: Examples, seen: set[bytes]
) -> None:
    while True:
        try:
            line = file.line(_LINE_BYTES)
        except Damaged:
            examples.leave_out("damaged compressed data")
            if file.recover():
                continue
            return
        if not line.size:
            return
        if line.size > _LINE_BYTES:
            examples.leave_out(f"line over {_LINE_BYTES // 1_000_000} MB")
            continue
        data = line.data.removeprefix(b"\xef\xbb\xbf").strip()
        if not data:
            examples.leave_out("blank line")
            continue
        text = _text(data, text_field)
        if isinstance(text, _Refused):
            examples.leave_out(text.reason)
            continue
        prepared = prepare(text, normalize, limit).encode()
        digest = xxhash.xxh3_128_digest(prepared)
        if digest in seen:
            examples.leave_out("copy of another")
        elif not prepared.strip():
            examples.leave_out("empty text")
        else:
            seen.add(digest)
            examples.texts.append(prepared)


@dataclass(frozen=True)
class _Refused:
    reason: str


def _text(data: bytes, text_field: str) -> str | _Refused:
    if not text_field:
        try:
            return data.decode()
        except UnicodeDecodeError:
            return _Refused("invalid UTF-8")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _Refused("not JSON")
    text = value.get(text_field) if isinstance(value, dict) else None
    return text if isinstance(text, str) else _Refused(f"no text in {text_field!r}")


def part(positive: Examples, negative: Examples) -> None:
    """Takes out of both what stands in both: nobody can learn from it."""
    both = set(positive.texts) & set(negative.texts)
    for examples in (positive, negative):
        before = len(examples.texts)
        examples.texts = [text for text in examples.texts if text not in both]
        examples.leave_out("under both labels", before - len(examples.texts))
