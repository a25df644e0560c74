"""ARC: the same documents as from WARC, out of the older format."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.source import Source
from data_pipeline.sources.arc import parse_line
from tests.data_pipeline.raw import arc_record, http, members, page, read, unit

SOURCE = Source(name="s", type="warc", paths=["x"])
HTML = "Content-Type: text/html; charset=koi8-r"
FILEDESC = arc_record("filedesc://a.arc", b"1 0 maker\nURL IP-address Archive-date Content-type Archive-length\n")


def write(path, data):
    path.write_bytes(data)
    return path


def records(count):
    return [FILEDESC] + [arc_record(f"http://a.example/{n}", http(b"<p>%d" % n, HTML)) for n in range(count)]


def test_a_response_is_a_record_with_url_date_and_charset(tmp_path):
    [found], tally = read(SOURCE, unit(write(tmp_path / "a.arc", b"".join(records(1)))))
    assert (found.html, found.url, found.charset) == (b"<p>0", "http://a.example/0", "koi8-r")
    assert found.metadata == {"crawl_date": "2014-02-16T05:02:21Z"}
    assert found.offset == len(FILEDESC)
    assert tally.skipped == {"filedesc": 1} and not tally.damaged


def test_offsets_are_member_starts_where_each_record_has_a_member(tmp_path):
    data, starts = members(*records(3))
    found, _ = read(SOURCE, unit(write(tmp_path / "a.arc.gz", data)))
    assert [r.offset for r in found] == starts[1:]
    found, _ = read(SOURCE, unit(write(tmp_path / "a.arc.gz", gzip.compress(b"".join(records(3))))))
    assert [r.html for r in found] == [b"<p>0", b"<p>1", b"<p>2"]


@pytest.mark.parametrize(
    ("line", "url", "length"),
    [
        (b"http://a.example/ 192.0.2.1 20140216050221 text/html 12\n", "http://a.example/", 12),
        (b"http://a.example/a b?c=d e 192.0.2.1 20140216050221 text/html 12\r\n", "http://a.example/a b?c=d e", 12),
        (b"dns:a.example 2001:db8::1 20140216050221 text/dns 0\n", "dns:a.example", 0),
        (b"http://a.example/ 192.0.2.1 20140216050221 text/html -1\n", "http://a.example/", -1),
        # Version 2.
        (
            b"http://a.example/ 192.0.2.1 20140216050221 text/html 200 c041f2 - 1234 a.arc 77\n",
            "http://a.example/", 77,
        ),
    ],
)  # fmt: skip
def test_lines_that_begin_records(line, url, length):
    found = parse_line(line)
    assert found is not None and (found.url, found.length) == (url, length)


@pytest.mark.parametrize(
    "line",
    [
        b"Date: Sun, 16 Feb 2014 05:02:20 GMT\r\n",
        b"<a href='http://a.example/'> 192.0.2.1 20140216050221 text/html 12\n",
        b"http://a.example/ and more text\n",
        b"\n",
    ],
)
def test_other_lines_do_not(line):
    assert parse_line(line) is None


@given(st.binary(max_size=200))
def test_any_line_is_judged(line):
    parse_line(b"http:" + line)


def test_other_protocols_are_counted_and_damage_costs_its_record_alone(tmp_path):
    data = FILEDESC + arc_record("dns:a.example", b"a.example. IN A 192.0.2.1")
    data += arc_record("http://short.example/", http(b"<p>short", HTML), length="x")
    data += records(2)[1] + arc_record("http://long.example/", http(b"<p>long", HTML), length=10**9) + records(2)[2]
    found, tally = read(SOURCE, unit(write(tmp_path / "a.arc", data)))
    assert [r.html for r in found] == [b"<p>0", b"<p>1"]
    assert tally.skipped == {"filedesc": 1, "response that is not HTTP": 1}
    assert {kind: d.count for kind, d in tally.damaged.items()} == {"no content length": 1, "truncated record": 1}
    assert tally.records == 6


def test_lines_of_arc_inside_a_warc_begin_nothing(tmp_path):
    data = page("one") + b"rubbish\n" + records(1)[1] + page("two")
    found, tally = read(SOURCE, unit(write(tmp_path / "a.warc", data)))
    assert len(found) == 2 and tally.records == 2
