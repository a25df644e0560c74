"""The extraction benchmark: the published measure, and the promises made of the three methods."""

import gzip
import json

import pytest

from benchmarks.extraction import Page, f1, measure, overlap, page_sets, table


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ("a b c d e", "a b c d e", (1.0, 1.0)),
        ("", "", (1.0, 1.0)),
        ("", "a", (0.0, 0.0)),
        ("a b c d", "", (0.0, 0.0)),
        ("a b c d e", "a b c d", (1.0, 0.5)),
        ("A, b. c d", "A b c d", (1.0, 1.0)),
        ("a b c d a b c d", "a b c d", (1.0, 1 / 5)),
    ],
)
def test_overlap_is_that_of_multisets_of_four_tokens(wanted, found, expected):
    assert overlap(wanted, found) == expected


def test_the_published_figures_of_others_come_out(corpora):
    """F1, precision and recall as the benchmark's README gives them, from the outputs that it publishes."""
    folder = corpora / "html" / "scrapinghub"
    truth = json.loads((folder / "ground-truth.json").read_bytes())
    published = {"trafilatura": (0.938, 0.978, 0.958), "readability_js": (0.914, 0.982, 0.947)}
    for name, figures in published.items():
        output = json.loads(gzip.decompress((folder / "output" / f"{name}.json.gz").read_bytes()))["output"]
        found = f1([overlap(truth[key]["articleBody"], output[key]["articleBody"] or "") for key in truth])
        assert [round(value, 3) for value in found] == pytest.approx(figures, abs=0.0011)


def test_auto_comes_close_to_precise_on_pages_it_was_not_chosen_on(corpora):
    pages = page_sets(corpora)["scrapinghub-held-out"]
    fast, auto, precise = measure({"held-out": pages})
    assert fast.f1 > 0.88
    assert precise.f1 > 0.94
    assert auto.f1 > precise.f1 - 0.01
    assert not (fast.refused or auto.refused or precise.refused)


def test_scores_are_shown_with_their_error():
    page = Page(b"<html><body><p>One paragraph of four words and more.</p></body></html>", "One paragraph")
    [score] = measure({"mine": [page, page]}, ["fast"])
    assert (score.pages, score.bytes) == (2, 2 * len(page.html))
    assert "mine (2) | fast | 0.000 ± 0.000" in table([score])
    assert {result.name for result in score.results()} >= {"extraction/mine/fast/f1", "extraction/mine/fast/speed"}
