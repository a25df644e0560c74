"""What a page declares of its encoding, by the HTML standard's prescan."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.extract import encoding
from data_pipeline.extract.prescan import prescan


def cases(path):
    """(number, bytes of the page, expected encoding) of a file in the format of html5lib's tests."""
    for number, part in enumerate(path.read_bytes().removeprefix(b"#data\n").split(b"\n#data\n")):
        data, _, expected = part.partition(b"\n#encoding\n")
        yield number, data, expected.strip().decode().lower()


@pytest.mark.parametrize("name", ["tests1.dat", "tests2.dat", "test-yahoo-jp.dat"])
def test_the_prescan_agrees_with_the_published_cases(corpora, name):
    path = corpora / "peers" / "html5lib-tests" / "encoding" / name
    differ = {}
    read = 0
    for number, data, expected in cases(path):
        read += 1
        # Without a declaration the cases expect the default of a Western browser.
        found = encoding.declaration(data)[0] or encoding.codec_of("windows-1252")
        if found != encoding.codec_of(expected):
            differ[name, number] = (found, expected, data[:200])
    assert read
    assert differ == {}


@pytest.mark.parametrize(
    ("data", "label"),
    [
        (b"<meta charset=a>", "a"),
        (b"<meta/charset='a'>", "a"),
        (b"<!-- <meta charset=a> --><meta charset=b>", "b"),
        (b"<!--><meta charset=a>", "a"),
        (b"<p title='<meta charset=a>'><meta charset=b>", "b"),
        (b"<meta content='text/html; charset=a'>", ""),
        (b"<meta content='text/html; charset=a' http-equiv=Content-Type>", "a"),
        (b"<meta http-equiv=refresh content='text/html; charset=a'><meta charset=b>", "b"),
        (b"<meta charset='a><meta charset=b>", ""),
        (b"<metacharset=a>", ""),
        (b"<? <meta charset=a> ?>", ""),
        (b"x" * 20_000 + b"<meta charset=a>", ""),
    ],
)
def test_declarations_are_read_as_the_standard_reads_them(data, label):
    assert next(prescan(data), "") == label


def test_utf16_without_a_mark_is_known_by_its_xml_declaration():
    page = '<?xml version="1.0"?><p>žluť</p>'
    for codec in ("utf-16-le", "utf-16-be"):
        assert encoding.decode_page(page.encode(codec)) == (page, codec)


@given(st.text(st.sampled_from("<meta charset='\">=/!-; x\n"), max_size=120))
@example("<meta charset=")
@example("<!--")
def test_any_bytes_are_scanned(text):
    list(prescan(text.encode()))
