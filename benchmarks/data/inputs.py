"""The pages and texts that are measured on: real ones from a folder of corpora, or the documentation installed here.

A corpus folder holds crawls in warc/, pages in html/ (files, or JSON lines with the fields `u` and `h`), and texts in
text/, deb_text/ (files) and quality/ (JSON lines with the field `text`). What is taken of them is drawn by the hash of
the bytes, so it is the same on every machine.
"""

from __future__ import annotations

import gzip
import html
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import xxhash

from benchmarks.data.measure import Say

_CRAWLS = (
    "warc/whirlwind/whirlwind.warc.gz",
    "warc/dolma/*.warc.gz",
    "warc/resiliparse/warcfile.warc.gz",
    "warc/jwarc/cc.warc.gz",
)
_PAGES = ("html/**/source.html.gz", "html/*/html/*.html.gz", "html/*/*.html.gz", "html/*/*.html")
_PAGES_IN_LINES = ("html/*/*.zst",)
_TEXTS = ("text/**/*.txt.gz", "text/**/*.txt", "deb_text/**/*.txt.gz", "deb_text/**/*.txt")
_TEXTS_IN_LINES = ("quality/**/*.jsonl.gz", "quality/**/*.jsonl")
_DOCUMENT_CHARACTERS = 3000  # of a document cut out of a long text


@dataclass
class Inputs:
    """Pages and texts below `directory`, made on first use. corpora: None for the installed documentation.

    page_bytes, text_bytes: how much of each is drawn, about.
    """

    directory: Path
    corpora: Path | None
    page_bytes: int
    text_bytes: int
    say: Say
    described: dict[str, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def crawl(self) -> Path:
        """A WARC file, one gzip member per record: whole small crawls, then pages as responses."""
        self.say("collecting pages")
        path = self.directory / "pages.warc.gz"
        crawls = [file for pattern in _CRAWLS for file in self._files(pattern)]
        pages = _draw(self._pages(), self.page_bytes) if self.corpora else []
        taken = [str(file.relative_to(self.corpora)) for file in crawls] if self.corpora else []
        origin = "pages of the corpora, and " + ", ".join(taken)
        if not pages and not crawls:
            origin = "installed documentation in a frame of HTML"
            pages = _draw(
                (("", _framed(text)) for text in _installed(self.directory, self.page_bytes)), self.page_bytes
            )
        with path.open("wb") as out:
            for file in crawls:
                out.write(file.read_bytes())
            for number, (url, page) in enumerate(pages):
                out.write(gzip.compress(_response(url or f"https://example.org/{number}", page), 6))
        self.described["pages"] = {"from": origin, "pages_added": len(pages), "stored_bytes": path.stat().st_size}
        return path

    @cached_property
    def texts(self) -> list[str]:
        """Documents: the text of the pages above as the fast extractor gives it, and pieces of longer texts."""
        from benchmarks.data.pages import texts_of

        self.say("collecting texts")
        pages = texts_of(self.crawl, self.directory)
        others = list(self._texts()) if self.corpora else []
        if not others:
            others = list(_installed(self.directory, self.text_bytes))
        texts = [
            text.decode() for _, text in _draw((("", text.encode()) for text in [*pages, *others]), self.text_bytes)
        ]
        self.described["texts"] = {
            "from": "the extracted text of the pages, and "
            + ("texts of the corpora" if self.corpora else "installed documentation"),
            "documents": len(texts),
            "bytes": sum(len(text.encode()) for text in texts),
        }
        return texts

    @cached_property
    def lines(self) -> Path:
        """The texts as JSON lines, with `id`, `text` and `url`."""
        return self.write_lines(self.directory / "texts.jsonl", 1)

    def write_lines(self, path: Path, copies: int) -> Path:
        """The texts so many times, no two documents alike: from the second time on, a last line numbers the copy."""
        with path.open("wb") as out:
            for copy in range(copies):
                for number, text in enumerate(self.texts):
                    added = f"\nThis is copy {copy} of the document." if copy else ""
                    row = {"id": f"{copy}-{number}", "text": text + added, "url": f"https://example.org/{number}"}
                    out.write(orjson.dumps(row) + b"\n")
        return path

    def _files(self, pattern: str) -> Iterator[Path]:
        if self.corpora is not None:
            yield from sorted(path for path in self.corpora.glob(pattern) if not path.name.startswith("expected"))

    def _pages(self) -> Iterator[tuple[str, bytes]]:
        for path in dict.fromkeys(file for pattern in _PAGES for file in self._files(pattern)):
            yield "", _content(path)
        for pattern in _PAGES_IN_LINES:
            for path in self._files(pattern):
                for row in _rows(_content(path)):
                    if isinstance(row.get("h"), str):
                        yield str(row.get("u") or ""), row["h"].encode()

    def _texts(self) -> Iterator[str]:
        for path in dict.fromkeys(file for pattern in _TEXTS for file in self._files(pattern)):
            if "LICENCE" not in path.name:
                yield from _pieces(_content(path).decode("utf-8", "replace"))
        for path in dict.fromkeys(file for pattern in _TEXTS_IN_LINES for file in self._files(pattern)):
            yield from (row["text"] for row in _rows(_content(path)) if isinstance(row.get("text"), str))


def _draw(found: Iterable[tuple[str, bytes]], size: int) -> list[tuple[str, bytes]]:
    """Distinct ones in the order of their hashes, until `size` bytes are reached."""
    distinct = {xxhash.xxh3_64_intdigest(item[1]): item for item in found if item[1].strip()}
    drawn: list[tuple[str, bytes]] = []
    taken = 0
    for _, item in sorted(distinct.items()):
        if taken >= size:
            break
        drawn.append(item)
        taken += len(item[1])
    return drawn


def _content(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read()
    return path.read_bytes()


def _rows(data: bytes) -> Iterator[dict[str, Any]]:
    yield from (json.loads(line) for line in data.decode("utf-8", "replace").split("\n") if line.strip())


def _pieces(text: str) -> Iterator[str]:
    """A long text cut at empty lines."""
    piece: list[str] = []
    size = 0
    for paragraph in re.split(r"\n\s*\n", text):
        piece.append(paragraph)
        size += len(paragraph)
        if size >= _DOCUMENT_CHARACTERS:
            yield "\n\n".join(piece)
            piece, size = [], 0
    if piece:
        yield "\n\n".join(piece)


def _installed(directory: Path, size: int) -> Iterator[str]:
    """Texts of the documentation that is installed here."""
    from benchmarks.data.pages import records_of
    from configs.schema.source import Source

    source = Source(name="installed-docs", type="installed-docs", max_bytes=2 * size)
    for record in records_of(source, directory):
        if record.text:
            yield record.text


def _framed(text: str) -> bytes:
    """A page with the text as its article, between a menu and a footer."""
    menu = "".join(f'<li><a href="/{name}">{name}</a></li>' for name in ("home", "news", "archive", "about", "contact"))
    paragraphs = "".join(f"<p>{html.escape(part)}</p>\n" for part in re.split(r"\n\s*\n", text))
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(text[:60])}</title></head>
<body><nav><ul>{menu}</ul></nav><main><article>
{paragraphs}</article></main><footer><p>All pages <a href="/terms">terms</a></p></footer></body></html>
"""
    return page.encode("utf-8", "replace")


def _response(url: str, page: bytes) -> bytes:
    """A WARC record of type response (ISO 28500)."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    fields = {
        "WARC-Type": "response",
        "WARC-Record-ID": f"<urn:uuid:{xxhash.xxh3_128_hexdigest(url.encode() + page)}>",
        "WARC-Date": "2026-01-01T00:00:00Z",
        "WARC-Target-URI": url,
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(head) + len(page)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"WARC/1.0\r\n" + lines.encode() + b"\r\n" + head + page + b"\r\n\r\n"
