"""The HTML of the report. Whatever comes from outside goes through `escaped` or `shown`; the page runs no script."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence

# Controls, and what reorders or hides text (bidirectional and zero-width characters, line separators).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

STYLE = """
:root{--ink:#1c2733;--soft:#5c6b7a;--line:#e3e9ef;--back:#f6f8fa;--water:#1f77a8;--pale:#cfe3ef;--out:#e0a458;--warn:#fff6e5}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 28px 64px}
h1{font-size:27px;margin:0;letter-spacing:-.01em}
h2{font-size:18px;margin:36px 0 12px}
h3{font-size:14px;margin:0 0 10px;color:var(--soft);font-weight:600}
p{margin:6px 0}
.soft{color:var(--soft)}
.mono,pre{font-family:ui-monospace,"SFMono-Regular","DejaVu Sans Mono",monospace;font-size:12.5px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:14px;margin:22px 0 0}
.card,.panel,.sample{background:#fff;border:1px solid var(--line);border-radius:10px}
.card{padding:14px 16px}
.card b{display:block;font-size:23px;font-weight:650;letter-spacing:-.01em;font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:13px}
.panel{padding:16px 18px;overflow-x:auto}
.two{display:grid;grid-template-columns:1fr 1fr;gap:16px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:600;color:var(--soft);font-size:13px;text-align:left;white-space:nowrap}
th{padding:4px 12px 6px 0;border-bottom:1px solid var(--line)}
td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:middle}
tr:last-child td{border-bottom:0}
th.n,td.n{text-align:right;white-space:nowrap}
td.bar{width:34%;padding-right:0}
.rules td.bar{width:15%;padding-right:12px}
.rules td:last-child{width:26%}
.rules+.rules,.groups+.groups{margin-top:16px}
.groups td.bar{width:18%;padding-right:12px}
svg{display:block;width:100%}
.cell{display:inline-block;white-space:nowrap;margin-right:14px;font-size:13px;color:var(--soft)}
.cell b{color:var(--ink);font-weight:600}
.key{display:inline-block;width:11px;height:11px;border-radius:3px;margin:0 6px 0 14px;vertical-align:-1px}
.key.kept{background:var(--water)}.key.gone{background:var(--out)}.key:first-child{margin-left:0}
.warn{background:var(--warn);border:1px solid #f0d9a8;border-radius:10px;padding:10px 16px;margin:20px 0 0}
.sample{padding:12px 16px;overflow:hidden;min-width:0}
.sample header{display:flex;gap:10px;align-items:baseline;flex-wrap:wrap;font-size:13px;color:var(--soft)}
.tag{background:var(--pale);color:#174e6d;border-radius:20px;padding:1px 10px;font-size:12.5px;font-weight:600}
.tag.gone{background:#f9e6cb;color:#7a4d0b}
.sample pre{margin:8px 0 0;white-space:pre-wrap;overflow-wrap:anywhere;max-height:150px;overflow:hidden;unicode-bidi:isolate}
.sample .url{overflow-wrap:anywhere;unicode-bidi:isolate}
footer{margin-top:40px;color:var(--soft);font-size:13px}
@media(max-width:800px){.two{grid-template-columns:1fr}}
""".strip()


def escaped(value: object) -> str:
    """Any value as HTML text that is also safe inside a quoted attribute."""
    return html.escape(str(value), quote=True)


def shown(text: str, limit: int) -> str:
    """Crawled text as HTML: at most `limit` characters, invisible characters spelled out, everything escaped."""
    clipped = text if len(text) <= limit else text[:limit] + " \u2026"
    return escaped(_INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", clipped.replace("\r\n", "\n")))


def page(title: str, body: str) -> str:
    """A whole document. Its policy admits this one style sheet, by hash, and nothing else: no script, image or address."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def cards(values: Iterable[tuple[str, str]]) -> str:
    """Big figures: (label, value)."""
    rows = "".join(
        f'<div class="card"><b>{escaped(value)}</b><span>{escaped(label)}</span></div>' for label, value in values
    )
    return f'<div class="cards">{rows}</div>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = (), bars: Sequence[int] = ()
) -> str:
    """A table. `head` is escaped here; cells of `rows` are HTML already. numbers, bars: columns set as such."""

    def css(column: int) -> str:
        return ' class="n"' if column in numbers else ' class="bar"' if column in bars else ""

    top = "".join(f"<th{css(i)}>{escaped(name)}</th>" for i, name in enumerate(head))
    body = "".join("<tr>" + "".join(f"<td{css(i)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def bar(kept: float, gone: float, whole: float) -> str:
    """A bar of `whole` length: what was kept, then what was rejected here."""
    a, b = (1000 * part / whole if whole else 0 for part in (kept, gone))
    # A sliver stays visible: a rule that rejects one document in a million still did something.
    b = max(b, 3) if gone else 0
    return (
        '<svg viewBox="0 0 1000 14" height="14" preserveAspectRatio="none" role="img">'
        '<rect width="1000" height="14" fill="#eef2f6"/>'
        f'<rect width="{a:.1f}" height="14" fill="#1f77a8"/>'
        f'<rect x="{min(a, 1000 - b):.1f}" width="{b:.1f}" height="14" fill="#e0a458"/>'
        "</svg>"
    )


def spark(bars: Sequence[tuple[int, bool]]) -> str:
    """Small columns without labels: (count, refused). A column that holds anything can be seen."""
    top, width = max((count for count, _ in bars), default=0) or 1, 300 / max(1, len(bars))
    parts = []
    for i, (count, refused) in enumerate(bars):
        height = max(34 * count / top, 1.5) if count else 0
        colour = "#e0a458" if refused else "#1f77a8"
        parts.append(
            f'<rect x="{i * width:.1f}" y="{36 - height:.1f}" width="{max(width - 0.8, 0.6):.1f}" height="{height:.1f}"'
            f' fill="{colour}"/>'
        )
    return f'<svg viewBox="0 0 300 36" height="36" preserveAspectRatio="none" role="img">{"".join(parts)}</svg>'


def histogram(counts: Sequence[int], labels: Sequence[str]) -> str:
    """Columns with their labels below."""
    top, width = max(counts, default=0) or 1, 1000 / max(1, len(counts))
    parts = []
    for i, (count, label) in enumerate(zip(counts, labels, strict=True)):
        x, height = i * width, 120 * count / top
        middle = x + width / 2
        parts.append(
            f'<rect x="{x + 4:.1f}" y="{136 - height:.1f}" width="{width - 8:.1f}" height="{height:.1f}" rx="3"'
            f' fill="#1f77a8"/>{_centred(middle, 158, "#5c6b7a", label)}'
        )
        if count:
            parts.append(_centred(middle, 130 - height, "#1c2733", f"{count:,}"))
    return f'<svg viewBox="0 -4 1000 168" role="img">{"".join(parts)}</svg>'


def _centred(x: float, y: float, colour: str, text: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="14" fill="{colour}"'
    return f"<text {place}>{escaped(text)}</text>"


def sample(tag: str, gone: bool, details: Iterable[str], text: str) -> str:
    """One document. tag is escaped here; details and text are HTML already."""
    kind = "tag gone" if gone else "tag"
    rest = "".join(f'<span class="url">{detail}</span>' for detail in details if detail)
    head = f'<header><span class="{kind}">{escaped(tag)}</span>{rest}</header>'
    return f'<article class="sample">{head}<pre dir="auto">{text}</pre></article>'
