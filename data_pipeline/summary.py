"""What a run of the road would do, and what it did: printed at its end, or as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from data_pipeline.progress import amount


@dataclass
class Summary:
    """What a run made, shards or documents. seconds: of this run alone. text_bytes: of the documents, in UTF-8."""

    directory: str
    corpus_id: str
    documents_in: int
    documents_kept: int
    duplicates: int
    seconds: float
    manifest: str
    report: str
    tokens: dict[str, int] = field(default_factory=dict)
    shards: int = 0
    vocab_size: int = 0
    files: int = 0
    text_bytes: int = 0
    published: str = ""
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return dict(vars(self))

    def text(self) -> str:
        """The lines printed at the end."""
        tokens = ", ".join(f"{name} {count:,}" for name, count in self.tokens.items())
        if self.tokens:
            made = {
                "tokens": f"{tokens} (vocabulary {self.vocab_size:,})",
                "corpus": f"{self.corpus_id} in {self.shards:,} shards",
            }
        else:
            made = {
                "text": amount(self.text_bytes),
                "corpus": f"{self.corpus_id} in {self.files:,} Parquet files",
            }
        rows = {
            "documents": f"{self.documents_in:,} read, {self.documents_kept:,} kept, {self.duplicates:,} duplicates",
            **made,
            "manifest": self.manifest,
            "report": self.report,
            **({"published": self.published} if self.published else {}),
            "time": f"{self.seconds:.1f} s",
        }
        return "\n".join(f"{name:<10} {value}" for name, value in rows.items())


@dataclass
class Plan:
    """What a run would do. bytes: of the inputs, stored."""

    directory: str
    sources: dict[str, dict[str, int]]
    workers: int

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return dict(vars(self))

    def text(self) -> str:
        """One line per source."""
        lines = [f"would write {self.directory} with {self.workers} workers; nothing was written"]
        lines += [f"  {name}: {s['units']:,} units, {amount(s['bytes'])}" for name, s in self.sources.items()]
        return "\n".join(lines)
