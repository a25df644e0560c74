"""What a page says of itself: title, date, language and canonical address, from the tags at its beginning."""

from __future__ import annotations

import datetime
import html as entities
import re

RULE_VERSION = 1

WITHIN = 65_536
"""Characters that are looked at."""

_TAG = re.compile(r"<(html|title|meta|link|time)(?=[\s/>])", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"[\s/]*([^\s/>][^\s/>=]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"'][^\s>]*)|))?")
_TITLE = re.compile(r"[^>]{0,500}>([^<]{0,2000})")
_JSON_DATE_NAME = '"datePublished"'
_JSON_DATE = re.compile(r'"datePublished"\s{0,20}:\s{0,20}"([^"]{4,40})"')
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_LANGUAGE = re.compile(r"[a-zA-Z]{2,8}(?:[-_][a-zA-Z0-9]{1,8}){0,4}")
_DATE_NAME = re.compile(
    r"(?:article:|og:)published_time|datepublished|date|dc\.date(?:\.issued)?|dcterms\.(?:date|created)"
    r"|publish_?date|pub_?date|publication_date|sailthru\.date|parsely-pub-date|citation_publication_date"
)
_TITLE_CHARACTERS = 500
_URL_CHARACTERS = 2000


def metadata(html: str) -> dict[str, str]:
    """Of `title` (500 characters at most), `date` (ISO 8601 as written, a day that exists), `html_lang` (a language tag
    in lower case) and `canonical_url` (2,000 characters, may be relative) those that the page gives. The first of each
    counts; the order of belief is: `title`, og:title; dates in `meta`, in JSON-LD, in `time`; `html lang`,
    content-language; link rel=canonical, og:url."""
    head = html[:WITHIN]
    found: dict[tuple[str, int], str] = {}
    at = 0
    while (tag := _TAG.search(head, at)) is not None:
        name = tag[1].lower()
        at = tag.end()
        if name == "title":
            title = _TITLE.match(head, at)
            if title:
                found.setdefault(("title", 0), title[1])
        else:
            given, at = _attributes(head, at)
            for key, belief, value in _said(name, given):
                found.setdefault((key, belief), value)
    # Found by its name at memory speed, where an expression reads character by character.
    at = head.find(_JSON_DATE_NAME)
    date = _JSON_DATE.search(head, at) if at >= 0 else None
    if date:
        found["date", 1] = date[1]
    said: dict[str, str] = {}
    for (key, _), value in sorted(found.items()):
        checked = _CHECKS[key](entities.unescape(value))
        if checked:
            said.setdefault(key, checked)
    return said


def _attributes(head: str, at: int) -> tuple[dict[str, str], int]:
    """The attributes of the tag whose name ends at `at`, and where they end."""
    given: dict[str, str] = {}
    while (attribute := _ATTRIBUTE.match(head, at)) is not None:
        name, double, single, bare = attribute.groups()
        given.setdefault(name.lower(), double or single or bare or "")
        at = attribute.end()
    return given, at


def _said(name: str, given: dict[str, str]) -> list[tuple[str, int, str]]:
    """(key, rank of belief, value) that a tag with these attributes gives."""
    if name == "html":
        return [("html_lang", 0, given.get("lang") or given.get("xml:lang") or "")]
    if name == "link":
        return [("canonical_url", 0, given.get("href", ""))] if given.get("rel", "").lower() == "canonical" else []
    if name == "time":
        return [("date", 2, given.get("datetime", ""))]
    content = given.get("content", "")
    about = (given.get("property") or given.get("name") or given.get("itemprop") or "").lower()
    if _DATE_NAME.fullmatch(about):
        return [("date", 0, content)]
    if about == "og:title":
        return [("title", 1, content)]
    if about == "og:url":
        return [("canonical_url", 1, content)]
    if given.get("http-equiv", "").lower() == "content-language":
        return [("html_lang", 1, content)]
    return []


def _title(value: str) -> str:
    return " ".join(value.split())[:_TITLE_CHARACTERS].strip()


def _date(value: str) -> str:
    found = _DATE.match(value.strip())
    if not found:
        return ""
    try:
        datetime.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return ""
    return found[0]


def _language(value: str) -> str:
    found = _LANGUAGE.fullmatch(value.strip())
    return found[0].lower().replace("_", "-") if found else ""


def _url(value: str) -> str:
    value = value.strip()
    return value if len(value) <= _URL_CHARACTERS and value.isprintable() and " " not in value else ""


_CHECKS = {"title": _title, "date": _date, "html_lang": _language, "canonical_url": _url}
