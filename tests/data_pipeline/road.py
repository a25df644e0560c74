"""A small corpus of made-up prose, and the commands that walk it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

SIZES = {"web/a": 150_000, "web/b": 120_000, "books": 260_000, "code": 90_000}

CONFIG = """
sources:
  - {name: web, type: jsonl, paths: [raw/web/*.jsonl]}
  - {name: books, type: jsonl, paths: [raw/books.jsonl]}
  - {name: code, type: jsonl, paths: [raw/code.jsonl]}
tokenizer: {vocab_size: 500, train_bytes: 60kB}
split: {validation: 0.05, test: 0.03}
shards: {target_bytes: 64kB}
data: {dir: corpus, seed: 3, unit_bytes: 64kB, workers: 1}
"""


def write_raw(directory: Path, sizes: dict[str, int] = SIZES, seed: int = 0) -> None:
    """JSON lines: prose of made-up words; one text in fifteen is too short for the rules, one in twelve a copy."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("aeiounrstlmdk", k=draw.randint(3, 9))) for _ in range(900)]
    words += ["the", "of", "and", "to", "that", "with", "have", "be"] * 40
    texts: list[str] = []
    for name, size in sizes.items():
        path = directory / "raw" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            while file.tell() < size:
                if texts and draw.random() < 1 / 12:
                    text = draw.choice(texts).replace(" ", "  ", 2)
                else:
                    text = " ".join(draw.choices(words, k=draw.choice([60, 150, 400] * 5 + [8]))) + "."
                    texts.append(text)
                file.write(json.dumps({"text": text, "url": f"https://example.org/{name}/{len(texts)}"}) + "\n")


def write_config(directory: Path, text: str = CONFIG) -> None:
    """The configuration, as data.yaml."""
    (directory / "data.yaml").write_text(text)


def command(*arguments: str) -> list[str]:
    """The front door as another process would call it."""
    return [sys.executable, "-P", "-m", "millrace", *arguments]


def millrace(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `millrace` in a process of its own, in `directory`."""
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        command(*arguments), cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def content(corpus: Path) -> dict[str, bytes]:
    """The bytes of everything that two equal runs share."""
    files = [corpus / "manifest.json", *(corpus / "tokenizer").iterdir(), *(corpus / "shards").rglob("*.arrow")]
    return {str(path.relative_to(corpus)): path.read_bytes() for path in sorted(files)}


def outputs(corpus: Path) -> dict[str, int]:
    """The inode of every finished output: another one means that the file was made again.

    A unit's rejects take their place just before its documents, which alone say that it is finished.
    """
    roots = [
        corpus / "work" / name
        for name in ("documents", "signals", "verdicts", "signatures", "decisions", "balance", "lots")
    ]
    files = [path for root in [*roots, corpus / "shards"] for path in root.rglob("*.arrow")]
    files += [corpus / "tokenizer" / "tokenizer.model"]
    return {str(p.relative_to(corpus)): p.stat().st_ino for p in files if p.exists() and not p.name.startswith(".")}
