"""Valid archives and JSON files, spoilt as disks, crawlers and enemies spoil them; and what must hold for any bytes.

`python -m tests.data_pipeline.fuzz SECONDS [SEED]` looks for files that break a promise and writes them to
`tests/data_pipeline/finds`, which `test_finds` reads again for ever.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import re
import signal
import sys
import time
from pathlib import Path

import lz4.frame
import xxhash
import zstandard

from configs.schema.source import Source
from tests.data_pipeline.raw import arc_record, http, lines, members, page, read, record, unit

FINDS = Path(__file__).parent / "finds"
NO_RECORDS = ("stream", "not a record")
"""Kinds of damage that is met before there is a record."""

_HTML = "Content-Type: text/html"
_PACKS = [
    bytes, gzip.compress, zstandard.compress, lz4.frame.compress, bz2.compress,
    lambda data: lzma.compress(data, preset=0), lambda data: gzip.compress(data, 0),
]  # fmt: skip


def assert_promises(path: Path, unit_bytes: int = 400) -> None:
    """Read to its end, in one piece and cut, every record accounted for, no two with one offset."""
    kind = "jsonl" if ".json" in path.name else "warc"
    source = Source(name="s", type=kind, paths=[str(path)])
    found, tally = read(source, unit(path))
    damaged = sum(damage.count for name, damage in tally.damaged.items() if name not in NO_RECORDS)
    assert tally.input_bytes == path.stat().st_size, "not all was read"
    skipped = sum(count for name, count in tally.skipped.items() if name != "blank line")
    assert tally.records == len(found) + skipped + damaged, "records are not accounted for"
    assert len({r.offset for r in found}) == len(found), "two records have one offset"

    from data_pipeline.sources.registry import reader_of

    plan = reader_of(kind).plan(source, unit_bytes)
    assert not plan.problems
    starts = [piece.start for piece in plan.pieces]
    assert starts == [0, *(piece.end for piece in plan.pieces[:-1])] and plan.pieces[-1].end == path.stat().st_size
    offsets = []
    for piece in plan.pieces:
        part, tally = read(source, unit(path, piece.start, piece.end))
        assert tally.input_bytes == piece.end - piece.start, "not all of a unit was read"
        offsets += [r.offset for r in part]
    assert len(set(offsets)) == len(offsets), "two units hold one record"
    if not damaged:
        assert set(offsets) >= {r.offset for r in found}, "units hold less than the whole"


def spoilt(rng: random.Random) -> tuple[str, bytes]:
    """A file name that says how it is read, and bytes: of a valid file, spoilt."""
    kind = rng.choice(["warc", "warc", "arc", "jsonl", "json"])
    parts = [_part(kind, rng) for _ in range(rng.randint(1, 5))]
    if kind == "json":
        value = [json.loads(part) for part in parts]
        parts = [json.dumps(value, indent=rng.choice([None, 0, 2])).encode()]
    for _ in range(rng.choice([0, 0, 1, 2])):
        at = rng.randrange(len(parts))
        parts[at] = _spoil(parts[at], parts, rng)
    pack = rng.choice(_PACKS)
    data = b"".join(map(pack, parts)) if rng.random() < 0.6 else pack(b"".join(parts))
    for _ in range(rng.choice([0, 0, 1, 2, 4])):
        data = _spoil(data, parts, rng)
    return f"a.{kind}", data or b"-"


def _part(kind: str, rng: random.Random) -> bytes:
    body = rng.randbytes(rng.randrange(300)) if rng.random() < 0.3 else b"<p>text</p>" * rng.randrange(30)
    url = f"http://{rng.randrange(9)}.example/"
    if kind in ("json", "jsonl"):
        return lines("text " * rng.randrange(30)) if kind == "jsonl" else b'{"text": "a\\"}{"}'
    if kind == "arc":
        return arc_record(url, http(body, _HTML))
    inner = rng.choice([page("inner"), members(page("inner"), page("inner"))[0], gzip.compress(body)])
    return rng.choice(
        [
            record("response", http(body, _HTML), url),
            record("request", b"GET / HTTP/1.1\r\n\r\n", url),
            record("response", http(inner, _HTML), url),
            record("response", http(gzip.compress(body), _HTML, "Content-Encoding: gzip"), url),
            record("response", http(b"5\r\nhello\r\n0\r\n\r\n", _HTML, "Transfer-Encoding: chunked"), url),
            record("conversion", body, url, content_type="text/plain"),
        ]
    )


def _spoil(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    if not data:
        return data
    at, by = rng.randrange(len(data)), rng.randrange(1, 200)
    how = rng.randrange(8)
    if how == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if how == 1:
        return data[:at]
    if how == 2:
        return data[:at] + data[at + by :]
    if how == 3:
        return data[: at + by] + data[at:]
    if how == 4:
        return data[:at] + rng.choice(others) + data[at:]
    if how == 5:
        return (
            data[:at]
            + rng.choice([b"\0" * by, b"\n", b"\r\n\r\n", b"WARC/1.0\r\n", b'"', b"{", b"]", b"\\"])
            + data[at:]
        )
    lie = str(rng.choice([0, 1, by, 999, 10**6, 10**17, -1])).encode()
    pattern = rb"(?<=Content-Length: )\d+" if how == 6 else rb"\d+(?=\r?\n)"
    return re.sub(pattern, lie, data, count=1)


def main(seconds: float, seed: int) -> int:
    """Returns how many finds there were."""
    end, number, finds = time.monotonic() + seconds, 0, 0
    folder = Path(f"/tmp/millrace-fuzz-{seed}")
    folder.mkdir(exist_ok=True)
    while time.monotonic() < end:
        number += 1
        name, data = spoilt(random.Random(f"{seed}/{number}"))
        path = folder / name
        path.write_bytes(data)
        signal.alarm(60)
        try:
            assert_promises(path)
        except Exception as error:
            finds += 1
            FINDS.mkdir(exist_ok=True)
            (FINDS / f"{xxhash.xxh3_64_hexdigest(data)}{path.suffix}").write_bytes(data)
            print(f"{seed}/{number}: {type(error).__name__}: {error}", flush=True)
    print(f"{number} files, {finds} finds")
    return finds


if __name__ == "__main__":
    sys.exit(bool(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
