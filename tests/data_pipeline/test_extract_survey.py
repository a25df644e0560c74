"""One pass over a page's bytes decides as the expressions that define the bounds."""

import gzip

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from data_pipeline.extract import bounds, survey
from data_pipeline.extract.bounds import Bounds
from tests.data_pipeline import bounds_reference as reference

LONG = b"x-long-element-name"
SHORT = (
    b"b B i em strong STRIKE font tt u s div DIV section button table td tr caption p li br span a abbr:q big code"
    b" x-nine-ten x-nine-tenx script h1"
)
NAMES = [*SHORT.split(), LONG, LONG[:-1], b"y" * 41, b"y" * 50]
ODD = [
    b"<",
    b">",
    b"</",
    b"/",
    b"'",
    b'"',
    b"<b",
    b"<\xc3\xa9>",
    b"<b\xff>",
    b"<i\x0b>",
    b"<u\t>",
    b" x ",
    b"\n\n",
    b"<!--",
    b"&",
]
markup = st.lists(
    st.one_of(
        st.sampled_from(NAMES).map(lambda name: b"<" + name + b">"),
        st.sampled_from(NAMES).map(lambda name: b"</" + name + b">"),
        st.sampled_from(NAMES).map(lambda name: b"<" + name + b" id='x y'/>"),
        st.sampled_from(ODD),
        st.binary(max_size=9),
    ),
    max_size=120,
).map(b"".join)


def survey_depth(data, limit):
    return survey.depth(np.frombuffer(data, np.uint8), survey.CODES, bounds._RULED, bounds._KINDS, limit)


@given(markup, st.integers(1, 25), st.integers(1, 90), st.integers(1, 9))
@example(b"<B></b>" * 40, 200, 100, 5)
@example(b"<a " + b"b " * 20, 200, 200, 5)
def test_pages_are_refused_as_by_the_expressions(data, depth, nodes, attributes):
    limits = Bounds(depth, nodes, attributes)
    assert bounds.refusal(data, limits) == reference.refusal(data, limits)


@given(markup, st.integers(1, 9))
def test_one_pass_counts_what_the_expressions_count(data, limit):
    page, words = np.frombuffer(data, np.uint8), np.frombuffer(data, np.uint64, len(data) // 8)
    assert survey.most_open(page, words, survey.CODES, bounds._FORMATTING_KEYS, limit) == (
        data.count(b"<"),
        data.count(b"</"),
        reference.most_left_open(data),
        reference.suspect_attributes(data, limit),
    )


@given(markup, st.integers(1, 300))
@example(b"<" + LONG + b">" + b"</" + LONG.upper() + b">" + b"<i>", 9)
@example(b"<table><td><b><i><td><b></table>", 9)
@example(b"<div><span></div></span><a>", 9)
def test_depth_is_that_of_the_expressions(data, limit):
    assert survey_depth(data, limit) == bounds.depth(data, limit)


def test_the_pass_gives_up_where_it_would_search_long():
    data = b"<a>" * 2000 + b"</b>" * 20_000
    assert survey_depth(data, 2500) == -1
    assert bounds.refusal(data, Bounds(2100, 10**6, 2000)) is None
    assert bounds.refusal(data, Bounds(1999, 10**6, 2000)) == ("html_depth", 2000)


def test_pages_of_the_corpora_are_decided_alike_under_any_bounds(corpora):
    pages = [*corpora.glob("html/*/*.html.gz"), *corpora.glob("html/*/*/*.html.gz")]
    assert len(pages) > 200
    for path in pages[::3]:
        data = gzip.decompress(path.read_bytes())
        for limits in (Bounds(20, 500, 5), Bounds(40, 3000, 100), Bounds(8, 50_000, 30)):
            assert bounds.refusal(data, limits) == reference.refusal(data, limits), path
