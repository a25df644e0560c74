"""What a page says of itself becomes metadata: bounded, checked, and only what it says."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.extract import Extract
from configs.schema.source import Source
from data_pipeline.extract import head, stage
from data_pipeline.outcome import Tally
from data_pipeline.sources.record import Record


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ("<title>A &lt;b&gt; &amp; c\n d</title>", {"title": "A <b> & c d"}),
        ("<meta property=og:title content='From og'><title>Real</title>", {"title": "Real"}),
        ("<meta property=og:title content='From og'><title> </title>", {"title": "From og"}),
        ("<title>" + "x" * 10_000, {"title": "x" * 500}),
        ("<HTML LANG='de_AT'>", {"html_lang": "de-at"}),
        ("<html xml:lang=\"en\">", {"html_lang": "en"}),
        ("<html lang='not a language!'><meta http-equiv=Content-Language content=fr>", {"html_lang": "fr"}),
        ("<link rel=canonical href='https://a.example/x?y=1&amp;z=2'>",
         {"canonical_url": "https://a.example/x?y=1&z=2"}),
        ("<link href=/there rel=CANONICAL><meta property=og:url content=https://b.example/>",
         {"canonical_url": "/there"}),
        ("<link rel=stylesheet href=/x.css>", {}),
        ("<meta property='article:published_time' content='2019-11-20T08:31:00+01:00'>",
         {"date": "2019-11-20T08:31:00+01:00"}),
        ("<time datetime=2018-01-02>2 Jan</time><meta name=date content='2017-05-06 10:00'>",
         {"date": "2017-05-06 10:00"}),
        ("<time datetime=2018-01-02>2 Jan</time>", {"date": "2018-01-02"}),
        ('<script type="application/ld+json">{"datePublished": "2020-02-29"}</script>', {"date": "2020-02-29"}),
        ("<meta name=date content=2019-02-30><meta name=date content=yesterday>", {}),
        ("<meta name=date content='2019-02-03<script>'>", {"date": "2019-02-03"}),
        ("<p>nothing</p>", {}),
    ],
)  # fmt: skip
def test_what_a_page_says_is_read(html, said):
    assert head.metadata(html) == said


def test_pages_say_what_their_readers_expect(corpora):
    """The metadata that people wrote down for the pages of a reader's test-suite: titles and languages agree where
    the page has them in its head."""
    import gzip
    import json

    same, titles, languages, spoken = 0, 0, 0, 0
    for folder in sorted((corpora / "html" / "readability-test-pages").iterdir()):
        if not (folder / "source.html.gz").exists():
            continue
        expected = json.loads((folder / "expected-metadata.json").read_text())
        said = head.metadata(gzip.decompress((folder / "source.html.gz").read_bytes()).decode("utf-8", "replace"))
        if expected.get("title") and said.get("title"):
            titles += 1
            same += " ".join(expected["title"].split()) in said["title"]
        if expected.get("lang") and said.get("html_lang"):
            languages += 1
            spoken += said["html_lang"][:2] == expected["lang"][:2].lower()
    assert titles > 100
    assert same / titles > 0.8
    assert spoken / languages > 0.95


@given(st.text(st.sampled_from("<>metalinktitle='\" =/2019-01-02\n&#x;"), max_size=300), st.text(max_size=50))
def test_any_text_says_something_bounded(markup, text):
    for key, value in head.metadata("<html lang=" + markup + "<title>" + text + markup).items():
        assert key in {"title", "date", "html_lang", "canonical_url"}
        assert 0 < len(value) <= 2000
        assert not re.search(r"[\r\n]", value)


def test_the_address_is_made_whole_and_the_sources_own_metadata_count_more():
    records = [
        Record("a", 0, html=b"<title>T</title><link rel=canonical href=/c><p>Text.", url="https://a.example/b?x"),
        Record("a", 1, html=b"<link rel=canonical href=javascript:x><p>Text.", url="https://a.example/b"),
        Record("a", 2, html=b"<title>T</title><p>Text.", metadata={"title": "mine"}),
        Record("a", 3, html=b"<link rel=canonical href='http://[bad'><p>Text.", url="https://a.example/"),
    ]
    source = Source(name="s", type="jsonl", paths=["x"])
    kept = stage.run(records, source, Extract(), Tally()).kept.to_pylist()
    assert [dict(row["metadata"]) for row in kept[:3]] == [
        {"canonical_url": "https://a.example/c", "title": "T"},
        {},
        {"title": "mine"},
    ]
    assert len(kept) == 4
