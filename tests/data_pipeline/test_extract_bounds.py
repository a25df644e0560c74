"""Pages that would cost an extractor much are refused by counting, and pages that people write are not."""

import gzip
import sys

import pytest

from data_pipeline.extract import bounds, head
from data_pipeline.extract.bounds import Bounds, refusal
from data_pipeline.extract.prescan import prescan

LIMITS = Bounds(depth=3000, nodes=300_000, attributes=2000)
BOLD = b"".join(b"<b id=%d>" % n for n in range(500))
NAMES = b" ".join(b"a%d" % n for n in range(5000))


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        (b"<p>x" * 300_001, "html_nodes"),
        # Each paragraph opens all of the bold elements anew.
        (b"<p>" + BOLD + b"x<p>" * 20_000, "html_nodes"),
        (b"<p>" + BOLD + b"</i></i>x<p>" * 20_000, "html_nodes"),
        (b"<table><tr><td><p>" + BOLD + b"<table><tr><td>x</table>" + b"x<p>" * 20_000, "html_nodes"),
        (b"<div " + NAMES + b">", "html_attributes"),
        (b"<div " + NAMES.replace(b" ", b"=1\n") + b">", "html_attributes"),
        (b"<div/" + NAMES.replace(b" ", b"/") + b">", "html_attributes"),
        (b"<script>a<b</script><div " + NAMES + b">", "html_attributes"),
        (b"<div " + NAMES, "html_attributes"),
        (b"<div>" * 3001, "html_depth"),
    ],
)
def test_pages_over_a_bound_are_refused(html, reason):
    found = refusal(html, LIMITS)
    assert found is not None and found[0] == reason
    assert found[1] > {"html_nodes": 300_000, "html_depth": 3000, "html_attributes": 2000}[reason]


@pytest.mark.parametrize(
    "html",
    [
        b"<table>" + b"<tr><td><font size=2 color=red>cell" * 20_000 + b"</table>",
        b"<p><b>left open" * 2000,
        b"<p><b>bold</b> <i>and</i> <b>bold</b>" * 20_000,
        b"<script>if (a<b && c) { " + b"x y " * 10_000 + b"}</script><p>text",
        b"<!-- <div " + NAMES + b"> --><p>text",
        b"<p>1 <b " + b"and then a long text without any markup. " * 2000,
        b"<style>a<b " + b"c " * 10_000 + b"</style>",
    ],
)
def test_pages_that_are_only_long_or_careless_are_not(html):
    found = refusal(html, LIMITS)
    # A tag that never ends holds what follows it, as browsers see it too.
    assert found is None or html.startswith(b"<p>1 <b ")


def test_no_page_of_the_corpora_is_refused(corpora):
    pages = [*corpora.glob("html/*/*.html.gz"), *corpora.glob("html/*/*/*.html.gz")]
    assert len(pages) > 200
    assert [path for path in pages if refusal(gzip.decompress(path.read_bytes()), LIMITS)] == []


@pytest.mark.parametrize(
    "unit",
    [b"<b id=%d>", b"<div>", b"</div>", b"<td>", b"<table><td><b>", b"<a x='", b'<a x="', b"<!--", b"<script>", b"<a ", b"<"],
)  # fmt: skip
def test_counting_ends_for_any_page(unit):
    data = b"".join(unit % n if b"%" in unit else unit for n in range(20_000))
    assert bounds.depth(data, 3000) <= 3001
    assert bounds.nodes(data, 10**6) >= 0
    assert bounds.attributes(data, 2000) <= 2001
    refusal(data, LIMITS)


def steps(function, *arguments):
    """Lines of Python that a call runs: a count of operations that no clock disturbs."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "unit",
    [
        b"</i>",
        b"<td>",
        b"<table><td><b>",
        b"<p><b>",
        b"<a x='",
        b"<meta a='",
        b"<div>x</div>",
        b"<html lang='",
        b"<title",
    ],
)
@pytest.mark.parametrize("begin", [b"", b"<b><div>" + b"<i>" * 500])
def test_ten_times_the_page_takes_at_most_thirteen_times_the_steps(begin, unit):
    def look(data):
        bounds.depth(data, 10**9)
        bounds.nodes(data, 10**9)
        bounds.attributes(data, 10**9)
        head.metadata(data.decode())
        list(prescan(data))

    short, long = (steps(look, begin + unit * n) for n in (500, 5000))
    assert long <= 13 * short
