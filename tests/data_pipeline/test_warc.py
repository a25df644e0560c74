"""WARC: the records of real crawls and of hostile ones."""

import bz2
import gzip
import lzma
import random
import zlib

import brotli
import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.source import Source
from tests.data_pipeline.raw import http, members, page, read, record, unit

SOURCE = Source(name="s", type="warc", paths=["x"])
HTML = "Content-Type: text/html"


def write(path, data):
    path.write_bytes(data)
    return path


def test_a_response_is_a_record_with_url_date_and_charset(tmp_path):
    path = write(tmp_path / "a.warc", page("hello", "http://a.example/x", "Content-Type: TEXT/HTML; charset=KOI8-R"))
    [found], tally = read(SOURCE, unit(path))
    assert found.html == b"<html><body><p>hello</p></body></html>"
    assert (found.url, found.charset) == ("http://a.example/x", "KOI8-R")
    assert found.metadata == {"crawl_date": "2024-01-02T03:04:05Z"}
    assert tally.records == 1 and tally.input_bytes == path.stat().st_size


def test_offsets_are_member_starts_where_each_record_has_a_member(tmp_path):
    records = [record("warcinfo", b"software: x", content_type="application/warc-fields"), page("a"), page("b")]
    data, starts = members(*records)
    found, _ = read(SOURCE, unit(write(tmp_path / "a.warc.gz", data)))
    assert [r.offset for r in found] == starts[1:]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_offsets_are_decoded_bytes_in_any_other_file(tmp_path, pack):
    records = [page("a"), page("b"), page("c")]
    found, _ = read(SOURCE, unit(write(tmp_path / "a", pack(b"".join(records)))))
    assert [r.offset for r in found] == [0, len(records[0]), len(records[0] + records[1])]


def test_records_that_share_a_member_never_share_an_offset(tmp_path):
    data, _ = members(page("a"), page("b") + page("c") + page("d"), page("e"))
    found, _ = read(SOURCE, unit(write(tmp_path / "a.warc.gz", data)))
    assert len({r.offset for r in found}) == len(found) == 5


def test_what_is_no_document_is_counted_by_kind(tmp_path):
    data = b"".join(
        [
            record("warcinfo", b"a: b", content_type="application/warc-fields"),
            record("request", b"GET / HTTP/1.1\r\n\r\n"),
            record("metadata", b"x", content_type="text/anvl"),
            record("revisit", b""),
            record("nonsense", b"x"),
            record("response", http(b"", status="404 Not Found")),
            record("response", http(b"\x89PNG", "Content-Type: image/png")),
            record("response", http(b"{}", "Content-Type: application/json")),
            record("response", b"not http at all"),
            record("response", b"dns", content_type="text/dns"),
            record("resource", b"log", content_type="text/plain"),
            record("response", http(b"who knows")),
            page("kept"),
        ]
    )
    found, tally = read(SOURCE, unit(write(tmp_path / "a.warc", data)))
    assert len(found) == 1
    assert tally.skipped == {
        "warcinfo": 1, "request": 1, "metadata": 1, "revisit": 1, "record of unknown type": 1, "HTTP status 404": 1,
        "content type image/*": 1, "content type application/*": 1, "response without a status line": 1,
        "response that is not HTTP": 1, "resource that is not HTML": 1,
        "no content type, not HTML by its beginning": 1,
    }  # fmt: skip
    assert tally.records == 13 == len(found) + sum(tally.skipped.values())
    assert not tally.damaged


def test_html_resources_wet_and_plain_text_are_documents(tmp_path):
    data = b"".join(
        [
            record("resource", b"<p>r</p>", content_type="text/html; charset=utf-8"),
            record("conversion", "žluť".encode(), content_type="text/plain"),
            record("response", http(b"caf\xe9", "Content-Type: text/plain; charset=latin-1")),
            record("response", http(b" <!DOCTYPE HTML><p>x")),
        ]
    )
    found, _ = read(SOURCE, unit(write(tmp_path / "a.warc", data)))
    assert [(r.html, r.plain, r.charset) for r in found] == [
        (b"<p>r</p>", None, "utf-8"),
        (None, "žluť".encode(), "utf-8"),
        (None, b"caf\xe9", "latin-1"),
        (b" <!DOCTYPE HTML><p>x", None, ""),
    ]


def deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def chunked(data, size=7):
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


BODY = b"<html><p>" + b"text " * 50 + b"</p></html>"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Encoding: gzip"], gzip.compress(BODY)),
        (["Content-Encoding: x-gzip"], gzip.compress(BODY)),
        (["Content-Encoding: deflate"], zlib.compress(BODY)),
        (["Content-Encoding: deflate"], deflate(BODY)),
        (["Content-Encoding: zstd"], zstandard.compress(BODY)),
        (["Content-Encoding: identity"], BODY),
        (["Transfer-Encoding: chunked"], chunked(BODY)),
        (["Transfer-Encoding: chunked", "Content-Encoding: gzip"], chunked(gzip.compress(BODY))),
        (["Content-Encoding: deflate, gzip"], gzip.compress(zlib.compress(BODY))),
        # Announced, but stored decoded: many crawlers keep the original headers.
        (["Transfer-Encoding: chunked"], BODY),
        (["Content-Encoding: gzip"], BODY),
        (["Content-Encoding: deflate"], BODY),
    ],
)
def test_transfer_and_content_codings_are_undone(tmp_path, headers, body):
    [found], tally = read(SOURCE, unit(write(tmp_path / "a", record("response", http(body, HTML, *headers)))))
    assert found.html == BODY and not tally.damaged


def test_brotli_is_undone(tmp_path, corpora):
    folder = corpora / "warc" / "solrwayback" / "compressions_warc"
    pages = [
        read(SOURCE, unit(folder / f"transfer_compression_{name}.warc"))[0][0].html
        for name in ("brotli", "gzip", "none")
    ]
    assert pages[0] == pages[1] == pages[2] and b"<html" in pages[0].lower()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Encoding: gzip"], gzip.compress(BODY)[:9] + b"\xff" * 40),
        (["Content-Encoding: br"], b"\xff" * 40),
        (["Content-Encoding: compress"], b"x"),
        (["Content-Encoding: gzip, gzip, gzip, gzip"], b"x"),
    ],
)
def test_a_body_that_cannot_be_decoded_is_damage_and_the_next_record_is_read(tmp_path, headers, body):
    data = record("response", http(body, HTML, *headers)) + page("next")
    found, tally = read(SOURCE, unit(write(tmp_path / "a", data)))
    assert len(found) == 1
    assert tally.damaged["damaged HTTP body"].count == 1


def test_reading_goes_on_behind_damage(tmp_path):
    broken = [
        b"garbage\r\nmore garbage\r\n",
        page("too short", "http://short.example/").replace(b"Content-Length: ", b"Content-Length: 1"),
    ]
    data = page("one") + broken[0] + page("two") + record("response", b"x").replace(b"Content-Length: 1", b"X: 1")
    found, tally = read(SOURCE, unit(write(tmp_path / "a", data + page("three"))))
    assert [r.html for r in found] == [r.html for r in read(SOURCE, unit(write(tmp_path / "b", page("one"))))[0]] + [
        b"<html><body><p>two</p></body></html>",
        b"<html><body><p>three</p></body></html>",
    ]
    kinds = {kind: damage.count for kind, damage in tally.damaged.items()}
    assert kinds == {"not a record": 1, "no content length": 1}
    assert tally.damaged["not a record"].first_offset == len(page("one"))


def test_a_record_cut_short_is_damage(tmp_path):
    data = page("one") + page("two")[:-30]
    found, tally = read(SOURCE, unit(write(tmp_path / "a", data)))
    assert len(found) == 1
    assert tally.damaged["truncated record"].first_offset == len(page("one"))


def test_a_length_that_swallows_records_costs_its_own_record_alone(tmp_path):
    liar = page("liar", "http://liar.example/").replace(b"Content-Length: ", b"Content-Length: 1")
    short = page("cut here and there", "http://short.example/")
    at = short.index(b"Content-Length: ") + len("Content-Length: ")
    short = short[:at] + b"60" + short[short.index(b"\r\n", at) :]
    for pack in (bytes, gzip.compress):
        data = pack(page("one") + liar + b"".join(page(f"x{n}") for n in range(9)) + short + page("end"))
        found, tally = read(SOURCE, unit(write(tmp_path / "a", data)))
        texts = [r.html for r in found]
        assert len(found) == 12 and b"liar" not in b"".join(texts) and b"end" in texts[-1]
        assert {kind: d.count for kind, d in tally.damaged.items()} == {"wrong content length": 1, "not a record": 1}
        assert accounted(found, tally)


def test_a_damaged_member_costs_its_own_record_alone(tmp_path):
    noise = random.Random(1).randbytes(30_000)
    packed = [gzip.compress(record("response", http(noise, HTML), f"http://{n}.example/")) for n in range(5)]
    for at in (100, 15_000, len(packed[2]) - 6):
        broken = packed[2][:at] + bytes([packed[2][at] ^ 0xFF]) + packed[2][at + 1 :]
        found, tally = read(SOURCE, unit(write(tmp_path / "a", b"".join([*packed[:2], broken, *packed[3:]]))))
        assert [r.url for r in found] == [f"http://{n}.example/" for n in (0, 1, 3, 4)], at
        assert sum(d.count for d in tally.damaged.values()) == 1 and accounted(found, tally)


@pytest.mark.parametrize("pack", [zstandard.compress, lz4.frame.compress, bz2.compress, lzma.compress])
def test_archives_of_a_member_per_record_in_any_coding(tmp_path, pack):
    packed = [pack(page(f"page {n}")) for n in range(4)]
    found, tally = read(SOURCE, unit(write(tmp_path / "a", b"".join(packed))))
    assert [r.offset for r in found] == [sum(map(len, packed[:n])) for n in range(4)] and not tally.damaged


def test_codings_that_no_browser_knows_are_none(tmp_path):
    data = record("response", http(BODY, HTML, "Content-Encoding: utf-8"))
    data += record("response", http(gzip.compress(BODY), HTML, "Transfer-Encoding: gzip"))
    data += record("response", http(BODY, HTML, "Content-Encoding: br"))
    data += record("response", http(brotli.compress(BODY), HTML, "Content-Encoding: br"))
    found, tally = read(SOURCE, unit(write(tmp_path / "a", data)))
    assert [r.html for r in found] == [BODY] * 4 and not tally.damaged


def test_endless_headers_are_bounded(tmp_path):
    head = b"WARC/1.0\r\n" + b"X: " + b"y" * 5_000_000 + b"\r\n" + b"Z: z\r\n" * 100_000
    http_head = record("response", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000 + b"\r\n" + BODY)
    found, tally = read(SOURCE, unit(write(tmp_path / "a", head + b"\r\n" + http_head + page("next"))))
    assert found[-1].html == b"<html><body><p>next</p></body></html>"
    assert tally.damaged["record header too long"].count == 1


# Records that the files hold, by the tools that wrote them (most are checked against the count of another reader); what
# is damaged in them; and where the other reader's count differs, why.
COUNTS = {
    "dolma/sample-0000.warc.gz": (48, {}),
    "dolma/sample-0001.warc.gz": (34, {}),
    # Bytes in the middle, or behind the last member, that are no gzip member.
    "ia-gowarc/corrupted-mid-record.warc.gz.open": (12, {"stream": 1}),
    "ia-gowarc/corrupted-trailing-bytes.warc.gz.open": (30, {"stream": 1}),
    "ia-gowarc/empty.warc.gz.open": (0, {}),
    "ia-gowarc/good.warc.gz.open": (50, {}),
    "ia-gowarc/single-record.warc.gz.open": (1, {}),
    "ia-gowarc/skip-non-open.warc.gz": (10, {}),  # one gzip member for all: the other stops after the first
    "ia-gowarc/test.warc.gz": (3, {}),
    "jwarc/cc.warc.gz": (1, {}),
    "jwarc/gzip_extra_sl.warc.gz": (1, {}),
    "resiliparse/block-sized-records.warc": (3, {}),
    "resiliparse/block-sized-records.warc.gz": (3, {}),
    "resiliparse/block-sized-records.warc.lz4": (3, {}),
    "resiliparse/clipped.warc.gz": (1, {"record in a damaged stream": 1}),  # cut inside the record
    "resiliparse/warcfile.warc": (50, {}),
    "resiliparse/warcfile.warc.gz": (50, {}),
    "resiliparse/warcfile.warc.lz4": (50, {}),
    "solrwayback/compressions_warc/transfer_compression_brotli.warc": (5, {}),
    "solrwayback/compressions_warc/transfer_compression_brotli.warc.gz": (5, {}),
    "solrwayback/compressions_warc/transfer_compression_gzip.warc": (5, {}),
    "solrwayback/compressions_warc/transfer_compression_gzip.warc.gz": (5, {}),
    "solrwayback/compressions_warc/transfer_compression_gzip_chunked.warc.gz": (3, {}),
    "solrwayback/compressions_warc/transfer_compression_none.warc": (5, {}),
    "solrwayback/compressions_warc/transfer_compression_none.warc.gz": (5, {}),
    "solrwayback/compressions_warc/transfer_compression_none_truncated.warc.gz": (
        3, {"record in a damaged stream": 1},  # cut inside the last
    ),
    "solrwayback/example_warc/Evil-Warc-Headers.warc": (1, {"truncated record": 1}),  # it claims 6000 bytes of 827
    "warcio/bad.arc": (4, {"no content length": 3}),  # two lengths of -1, one of "abc"
    "warcio/example-bad-non-chunked.warc.gz": (6, {}),  # members across records: the other stops after one
    "warcio/example-bad.warc.gz.bad": (6, {}),
    "warcio/example-digest.warc": (4, {}),
    "warcio/example-iana.org-chunked.warc": (3, {}),
    "warcio/example-resource.warc.gz": (3, {}),
    "warcio/example-space-in-target-uri.warc.gz": (2, {}),
    "warcio/example-space-in-url.arc": (2, {"truncated record": 1}),  # the last is 12 bytes short
    "warcio/example-trunc.warc": (4, {"not a record": 1}),  # a length that is 4 bytes short
    "warcio/example-wget-bad-target-uri.warc.gz": (6, {}),
    "warcio/example-wrong-chunks.warc.gz": (2, {}),  # the other stops inside the first
    "warcio/example.arc": (2, {}),
    "warcio/example.arc.gz": (2, {}),
    "warcio/example.warc": (6, {}),
    "warcio/example.warc.gz": (6, {}),
    "warcio/post-test.warc.gz": (6, {}),
    "webarchive-commons/format/gzip/IAH-urls-wget.warc.gz": (36, {}),
    "webarchive-commons/format/warc/IAH-urls-wget.warc": (36, {}),
    "webarchive-commons/format/warc/mutliple-headers.warc": (1, {}),
    # Lengths that are too short or too long by a line end: the other stops at the fourth.
    "webarchive-commons/resource/html/link-extraction-test.warc": (8, {}),
    "whirlwind/whirlwind.warc": (4, {}),
    "whirlwind/whirlwind.warc.gz": (4, {}),
    "whirlwind/whirlwind.warc.wat": (2, {}),
    "whirlwind/whirlwind.warc.wat.gz": (2, {}),
    "whirlwind/whirlwind.warc.wet": (2, {}),
    "whirlwind/whirlwind.warc.wet.gz": (2, {}),
}  # fmt: skip


def accounted(found, tally):
    """Whether every record is a document, or counted as skipped or as damaged."""
    damaged = sum(d.count for kind, d in tally.damaged.items() if kind not in ("stream", "not a record"))
    return tally.records == len(found) + sum(tally.skipped.values()) + damaged


def test_real_crawls_are_read_to_their_record_counts(corpora):
    folder = corpora / "warc"
    counts = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".txt")):
        name = str(path.relative_to(folder))
        found, tally = read(SOURCE, unit(path), max_bytes=10_000_000)
        counts[name] = tally.records, {kind: damage.count for kind, damage in tally.damaged.items()}
        assert len({r.offset for r in found}) == len(found), name
        assert accounted(found, tally), name
    assert counts == COUNTS


@given(st.data())
def test_any_damage_to_a_crawl_is_survived(tmp_path_factory, data):
    whole = bytearray(b"".join([page("one"), record("request", b"GET"), page("two"), record("response", b"x" * 50)]))
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    path = write(tmp_path_factory.mktemp("damage") / "a", bytes(whole) or b"-")
    found, tally = read(SOURCE, unit(path))
    assert tally.input_bytes == path.stat().st_size
    assert accounted(found, tally)
