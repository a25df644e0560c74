"""Crawled text attacks whoever looks at the report, in a real browser: no dialog opens and nothing is asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from data_pipeline.report import build, samples
from tests.browser import browser, listener
from tests.data_pipeline import road

PAYLOADS = (
    "<script>alert(1)</script>",
    "<script src=HIT></script>",
    "<script type=module>import 'HIT'</script>",
    "</script><script>fetch('HIT')</script>",
    "<img src=HIT>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=\"fetch('HIT')\">",
    "<img srcset='HIT 1x'>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><image href='HIT'/></svg>",
    "<svg><use href='HIT#a'/></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<iframe src=HIT></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<object data=HIT></object>",
    "<embed src=HIT>",
    "<link rel=stylesheet href=HIT>",
    "<link rel=prefetch href=HIT>",
    "<link rel=preconnect href=HIT>",
    "<style>@import 'HIT';</style>",
    "<style>body{background:url(HIT)}</style>",
    "<div style=\"background:url('HIT')\">",
    "<meta http-equiv=refresh content='0;url=HIT'>",
    "<base href=HIT/>",
    "<form action=HIT><input autofocus onfocus=this.form.submit()></form>",
    "<input onfocus=alert(1) autofocus>",
    "<body onload=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=HIT autoplay></audio>",
    "<video poster=HIT></video>",
    "<details open ontoggle=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<a href='javascript:alert(1)' autofocus onfocus=alert(1)>x</a>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<template><script>alert(1)</script></template><noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "</pre></article></main><img src=x onerror=alert(1)><!--",
    "\"'><img src=x onerror=alert(1)>",
    "]]><img src=x onerror=alert(1)><![CDATA[",
    "&lt;img src=x onerror=alert(1)&gt;<!--><img src=HIT>-->",
    "\x3cscript\x3ealert(1)\x3c/script\x3e +ADw-script+AD4-alert(1)+ADw-/script+AD4-",
)
PROSE = "the mill of the river and the wheel that turns have to be with the water of many years "


def attacked(directory: Path, hit: str, product: str) -> Path:
    """A corpus with each payload at the beginning of a text that is kept, of one that is rejected, and of an address."""
    with (directory / "raw.jsonl").open("w") as file:
        for index, payload in enumerate(PAYLOADS):
            attack = payload.replace("HIT", f"{hit}/{index}")
            address = f"https://example.org/{attack}"
            file.write(json.dumps({"text": f"{attack} {PROSE * 6} {index}", "url": address}) + "\n")
            file.write(json.dumps({"text": f"{attack} short", "url": attack}) + "\n")
    config = f"sources: [{{name: s, type: jsonl, paths: [raw.jsonl]}}]\ndata: {{dir: out, product: {product}}}\n"
    (directory / "data.yaml").write_text(config + "tokenizer: {vocab_size: 400}\nclean: {repair: false}\n")
    done = road.millrace(directory, "data", "run", "data.yaml", "split.validation=0", "split.test=0")
    assert done.returncode == 0, done.stderr
    return directory / "out" / "report.html"


def test_no_payload_opens_a_dialog_or_asks_for_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "KEPT_PER_CORPUS", 100)
    monkeypatch.setattr(samples, "REJECTED_PER_REASON", 100)
    assert len(PAYLOADS) >= 40
    with listener() as (address, asked), browser(tmp_path) as page:
        # The trap works: as a page of its own, a payload is caught.
        (tmp_path / "trap.html").write_text(f"<img src={address}/trap><script>alert('caught')</script>")
        page.open((tmp_path / "trap.html").as_uri())
        assert page.dialog() == "caught" and asked == ["/trap"]
        asked.clear()
        for product in ("shards", "documents"):
            (tmp_path / product).mkdir()
            report = attacked(tmp_path / product, address, product)
            build.write_report(report.parent)  # again, with every document among the samples
            page.open(report.as_uri())
            time.sleep(1)  # for what would happen after loading
            assert page.dialog() is None and not asked
            shown = page.text()
            assert "alert(1)" in shown and "onerror=" in shown and "Samples rejected" in shown
            missing = [p for p in PAYLOADS if p.split("HIT")[0].split("\x3c/")[0][:20] not in shown]
            assert not missing, missing
