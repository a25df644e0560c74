"""The report tells what the manifest tells, and crawled text in it stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.report.build import write_report
from data_pipeline.report.page import escaped, shown
from data_pipeline.shards import load_manifest
from tests.data_pipeline import road

ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "article", "div", "p", "span"),
    *("h1", "h2", "h3", "b", "br", "pre", "table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "text"),
}
HOSTILE = (
    '<script>alert("x")</script><img src=x onerror=alert(1)></pre></main><iframe src="https://evil.example">'
    "<style>*{display:none}</style><a href='javascript:alert(1)'>the and of to</a> & &lt;b&gt; \u202egpj.exe\u202c \x1b[31m "
)


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags and self.tags[-1][0] == "style" and not self.style:
            self.style = data


def read(corpus: Path) -> tuple[str, Page]:
    html = (corpus / "report.html").read_text()
    return html, Page(html)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of pages that attack whoever looks at them, in text, address and path."""
    directory = tmp_path_factory.mktemp("hostile")
    road.write_raw(directory, {"books": 60_000, "code": 30_000})
    raw = directory / "raw" / "web"
    raw.mkdir()
    with (raw / "<b>&amp;.jsonl").open("w") as file:
        for i in range(40):
            text = HOSTILE * (1 if i % 2 else 12) + f"number {i} with that and the"
            file.write(json.dumps({"text": text, "url": f'javascript:alert({i})//"><script>'}) + "\n")
        file.write("this is not JSON <script>alert(2)</script>\n")
    config = road.CONFIG.replace("vocab_size: 500", "vocab_size: 400")
    road.write_config(directory, config + "clean: {repair: false, invisible: keep}\n")
    done = road.millrace(directory, "data", "run", "data.yaml")
    assert done.returncode == 0, done.stderr
    return directory / "corpus"


def test_a_report_of_hostile_pages_holds_no_markup_of_theirs(hostile: Path) -> None:
    html, page = read(hostile)
    assert {tag for tag, _ in page.tags} <= ALLOWED
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        assert not set(attributes) & {"href", "src", "style", "srcdoc", "action", "formaction", "xlink:href"}, tag
    assert [tag for tag, _ in page.tags].count("style") == 1
    assert "<script>alert(" in page.text and "javascript:alert(" in page.text  # shown, as the text they are
    assert "\u202e" not in html and "\\u202e" in html and "\x1b" not in html


def test_the_policy_admits_the_pages_own_style_and_nothing_else(hostile: Path) -> None:
    _, page = read(hostile)
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    before = [tag for tag, _ in page.tags][:4]
    assert before.index("meta") < 4 and "style" not in before


def test_damaged_input_is_told_in_the_report(hostile: Path) -> None:
    _, page = read(hostile)
    assert "damaged input" in page.text


def test_the_report_shows_the_counts_of_the_manifest(made: Path) -> None:
    _, page = read(made / "corpus")
    manifest = load_manifest(made / "corpus")
    words = set(re.findall(r"[\w,.%]+", page.text))
    for stage in manifest.stages:
        assert f"{stage['documents']['kept']:,}" in words
        for reason, count in stage["documents"]["rejected"].items():
            assert reason.replace("_", " ") in page.text and f"{count:,}" in words
    for split in manifest.splits:
        assert any(
            f"{entry.tokens:,}" in words or f"{manifest.tokens(split):,}" in words for entry in manifest.splits[split]
        )
    assert manifest.corpus_id in page.text and f"{sum(map(manifest.tokens, manifest.splits)):,}" in words


def test_the_report_shows_documents_kept_and_rejected(made: Path) -> None:
    _, page = read(made / "corpus")
    texts = {json.loads(line)["text"] for path in (made / "raw").rglob("*.jsonl") for line in path.open()}
    shown_texts = re.findall(r"(?:\w+ ){7}", page.text)
    assert sum(any(part in text for text in texts) for part in shown_texts) > 10
    assert "dedup: exact duplicate" in page.text and "copy of " in page.text
    assert re.search(r"filter: gopher [\w ]+", page.text) and "measured " in page.text


def test_a_report_is_written_again_from_a_corpus_without_its_work(copy: Path) -> None:
    before, _ = read(copy / "corpus")
    done = road.millrace(copy, "data", "report", "corpus")
    assert done.returncode == 0 and done.stdout.strip().endswith("report.html")
    assert read(copy / "corpus")[0] == before
    shutil.rmtree(copy / "corpus" / "work")
    (copy / "corpus" / "stats.json").unlink()
    _, page = read(write_report(copy / "corpus").parent)
    assert load_manifest(copy / "corpus").corpus_id in page.text and "Samples kept" in page.text


@given(st.text())
def test_escaped_text_has_no_markup_and_reads_the_same(text: str) -> None:
    assert not set(escaped(text)) & set("<>\"'")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b\x7f]", shown(text, 1000))
