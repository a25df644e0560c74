"""Small files that stand for much: little memory, one rejection or damage each, and the rest of the file is read."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
import zlib
from pathlib import Path

import brotli
import lz4.frame
import pytest
import zstandard

from tests.data_pipeline.raw import arc_record, http, lines, page, record

MB = 1 << 20
HTML = "Content-Type: text/html"

# Each file in a process of its own, forked from one that has imported everything: the peak of its memory is then the
# file's alone.
MEASURE = """
import json, os, re, sys
from pathlib import Path
from configs.schema.source import Source
from tests.data_pipeline.raw import read, unit
import brotli, bz2, lz4.frame, lzma, orjson, zstandard

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

for path in map(Path, sys.argv[1:]):
    child = os.fork()
    if not child:
        source = Source(name="s", type="jsonl" if ".json" in path.name else "warc", paths=["x"])
        before = kilobytes("VmRSS")
        records, tally = read(source, unit(path), max_bytes=10_000_000)
        result = {
            "name": path.name,
            "kept": sum(not r.too_large for r in records),
            "too_large": sum(r.too_large > 0 for r in records),
            "damaged": sum(d.count for d in tally.damaged.values()),
            "kinds": sorted(tally.damaged),
            "peak": kilobytes("VmHWM") - before,
        }
        print(json.dumps(result), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, path
"""


def zeros(packer, size):
    """`size` zeros through an object that compresses in pieces."""
    return b"".join(packer.compress(bytes(MB)) for _ in range(size // MB)) + (
        packer.finish() if hasattr(packer, "finish") else packer.flush()
    )


def coded(body, coding):
    return record("response", http(body, HTML, f"Content-Encoding: {coding}"))


def gzip_zeros(size=100 * MB):
    return zeros(zlib.compressobj(9, zlib.DEFLATED, 31), size)


def gzip_members(bomb):
    return b"".join(gzip.compress(one, mtime=0) for one in (page("before"), bomb, page("after")))


def wide_zstd(data, window_log=27):
    """A frame that asks for a window of 128 MB or more."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(data) + packer.flush()


def long_record(pack, length=None):
    """Files of three members, that in the middle a record of 100 MB, or of another length than it claims."""
    size = 100 * MB
    head = record("response", b"", length=size + len(http(b"", HTML)) if length is None else length)[:-4]
    return pack(page("before")) + pack(head + http(b"", HTML) + bytes(size) + b"\r\n\r\n") + pack(page("after"))


def lying(length, pack=bytes):
    whole = page("liar")
    at = whole.index(b"Content-Length: ")
    liar = whole[:at] + b"Content-Length: %d" % length + whole[whole.index(b"\r\n", at) :]
    return pack(page("before") + liar + page("after") + page("after") + page("after"))


BOMBS = {
    # name: (bytes, kept, too large, damaged)
    "gzip-in-gzip.warc.gz": lambda: (gzip_members(coded(gzip_zeros(), "gzip")), 2, 1, 0),
    "gzip-twice-in-gzip.warc.gz": lambda: (gzip_members(coded(gzip.compress(gzip_zeros()), "gzip, gzip")), 2, 1, 0),
    "deflated-body.warc": lambda: (
        page("before") + coded(zeros(zlib.compressobj(9), 100 * MB), "deflate") + page("after"), 2, 1, 0,
    ),
    "brotli-body.warc.gz": lambda: (
        gzip_members(coded(brotli.compress(bytes(100 * MB), quality=2, lgwin=24), "br")), 2, 1, 0,
    ),
    "zstd-body.warc.gz": lambda: (gzip_members(coded(zstandard.compress(bytes(100 * MB)), "zstd")), 2, 1, 0),
    "zstd-body-wide.warc.gz": lambda: (gzip_members(coded(wide_zstd(bytes(100 * MB)), "zstd")), 2, 0, 1),
    "small-chunks.warc.gz": lambda: (
        gzip_members(record("response", http(b"2\nxy\n" * 4_000_000, HTML, "Transfer-Encoding: chunked"))), 3, 0, 0,
    ),
    "long-record.warc.gz": lambda: (long_record(gzip.compress), 2, 1, 0),
    "long-record.warc.zst": lambda: (long_record(zstandard.compress), 2, 1, 0),
    "long-record.warc.lz4": lambda: (long_record(lz4.frame.compress), 2, 1, 0),
    "long-record.warc.bz2": lambda: (long_record(bz2.compress), 2, 1, 0),
    "long-record.warc.xz": lambda: (long_record(lambda data: lzma.compress(data, preset=1)), 2, 1, 0),
    "wide-window.warc.zst": lambda: (
        zstandard.compress(page("before")) + wide_zstd(bytes(100 * MB)) + zstandard.compress(page("after")), 2, 0, 1,
    ),
    "wide-window.warc.xz": lambda: (
        lzma.compress(page("before"), preset=1)
        + lzma.compress(bytes(100 * MB), filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 128 * MB}])
        + lzma.compress(page("after"), preset=1), 2, 0, 1,
    ),
    "claims-2-gb.warc": lambda: (lying(2_000_000_000), 4, 0, 1),
    "claims-2-gb.warc.gz": lambda: (lying(2_000_000_000, gzip.compress), 4, 0, 1),
    "claims-2-gb-in-its-member.warc.gz": lambda: (long_record(gzip.compress, 2_000_000_000), 2, 0, 1),
    "claims-2-gb.arc": lambda: (
        b"".join(
            arc_record("http://a.example/", http(b"<p>x", HTML), length=length)
            for length in (None, 2_000_000_000, None)
        ), 2, 0, 1,
    ),
    "swallows-the-next.warc": lambda: (lying(700), 4, 0, 1),
    "swallows-the-next.warc.gz": lambda: (lying(700, gzip.compress), 4, 0, 1),
    "endless-header-line.warc.gz": lambda: (
        gzip.compress(page("before") + b"WARC/1.0\r\nX: " + bytes(100 * MB) + b"\r\n\r\n" + page("after")), 2, 0, 1,
    ),
    "endless-header-lines.warc.gz": lambda: (
        gzip.compress(page("before") + b"WARC/1.0\r\n" + b"X: y\r\n" * 10_000_000 + b"\r\n" + page("after")), 2, 0, 1,
    ),
    "endless-http-header.warc.gz": lambda: (
        gzip_members(record("response", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000_000 + b"\r\n<p>x")), 2, 0, 1,
    ),
    "endless-line.jsonl.gz": lambda: (
        gzip.compress(lines("before") + b'{"text": "' + b"x" * 100 * MB + b'"}\n' + lines("after")), 2, 1, 0,
    ),
    "endless-value.json.gz": lambda: (
        gzip.compress(b'[{"text": "a"},\n{"text": "' + b"x" * 100 * MB + b'"},\n{"text": "b"}]'), 2, 1, 0,
    ),
    "deep.jsonl.gz": lambda: (
        gzip.compress(lines("before") + b'{"text": ' + b"[" * 5_000_000 + b"\n" + lines("after")), 2, 0, 1,
    ),
}  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is measured by /proc")  # noqa: PTH110
def test_no_bomb_takes_64_mb_and_each_costs_itself_alone(tmp_path):
    expected = {}
    for name, make in BOMBS.items():
        data, *expected[name] = make()
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *(tmp_path / name for name in BOMBS)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    found = {r["name"]: [r["kept"], r["too_large"], r["damaged"]] for r in results}
    assert found == expected, {r["name"]: r["kinds"] for r in results if found[r["name"]] != expected[r["name"]]}
    assert {r["name"]: r["peak"] for r in results if r["peak"] >= 64 * 1024} == {}
    sys.stdout.write("\n".join(f"{r['name']}: {r['peak'] // 1024} MB" for r in results))
