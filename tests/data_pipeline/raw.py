"""Small raw inputs, made as crawlers and their tools make them."""

import gzip
import json

from data_pipeline.sources.record import Limits, SourceTally
from data_pipeline.sources.registry import reader_of
from data_pipeline.units import Unit


def unit(path, start=0, end=None, root=None):
    size = path.stat().st_size
    end = size if end is None else end
    relative = str(path.relative_to(root)) if root else path.name
    return Unit("s", 0, relative, str(path), start, end, end - start, "0" * 32, (start, end) == (0, size))


def read(source, unit, max_bytes=100_000):
    """Records and tally of one unit."""
    tally = SourceTally()
    return list(reader_of(source.type).read(unit, source, Limits.of(max_bytes), tally)), tally


def lines(*texts):
    return b"".join(json.dumps({"text": text, "url": f"u{n}"}).encode() + b"\n" for n, text in enumerate(texts))


def http(body, *headers, status="200 OK"):
    return b"\r\n".join([f"HTTP/1.1 {status}".encode(), *(h.encode() for h in headers), b"", body])


def record(kind, block, url="http://a.example/", content_type="application/http; msgtype=response", length=None):
    fields = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {url}",
        "WARC-Date: 2024-01-02T03:04:05Z",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(fields).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(text, url="http://a.example/", *headers):
    headers = headers or ("Content-Type: text/html; charset=utf-8",)
    return record("response", http(f"<html><body><p>{text}</p></body></html>".encode(), *headers), url)


def members(*records):
    """One gzip member per record; and the byte at which each begins."""
    packed = [gzip.compress(record, mtime=0) for record in records]
    starts = [sum(map(len, packed[:n])) for n in range(len(packed))]
    return b"".join(packed), starts


def arc_record(url, block, kind="text/html", length=None):
    head = f"{url} 192.0.2.1 20140216050221 {kind} {len(block) if length is None else length}\n"
    return head.encode() + block + b"\n"
