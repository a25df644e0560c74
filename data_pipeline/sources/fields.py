"""From the fields of a row, of a table or a JSON object, to a record: text, address and metadata as configured."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from configs.schema.source import Source
from data_pipeline.sources.record import Limits, Record, SourceTally

RULE_VERSION = 2


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()
"""What `lookup` gives for a field that a row does not have (null is a value: None)."""


def wanted(source: Source) -> list[str]:
    """Every field that a source asks for, once: the text's first, the address, the metadata's."""
    return list(dict.fromkeys([*source.text_fields, source.url_field, *source.fields.values()]))


def lookup(row: Mapping[str, Any], field: str) -> Any:
    """The value of `field`: under its whole name, else step by step along its dots. MISSING where there is none."""
    if field in row:
        return row[field]
    value: Any = row
    for step in field.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return MISSING
        value = value[step]
    return value


def make_record(
    get: Callable[[str], Any],
    names: Callable[[], Sequence[str]],
    source: Source,
    relative_path: str,
    offset: int,
    limits: Limits,
    tally: SourceTally,
) -> Record | None:
    """The record of one row; None where it has no text, which is counted.

    get: the value of a field, or MISSING. names: of the row's fields, for messages. A text of bytes is decoded later,
    as a plain file is.
    """
    parts: list[str | bytes] = []
    found = False
    single = len(source.text_fields) == 1
    for field in source.text_fields:
        value = get(field)
        if value is MISSING:
            continue
        found = True
        if isinstance(value, str | bytes):
            if value or single:
                parts.append(value)
        elif value is not None or single:
            message = f"{field!r} holds {type(value).__name__}"
            tally.damage("text is no string", relative_path, offset, message)
            return None
    if not found:
        keys = ", ".join(sorted(names())[:8])
        wanted_ = " or ".join(map(repr, source.text_fields))
        tally.damage("no text field", relative_path, offset, f"no {wanted_} among: {keys}")
        return None
    url = get(source.url_field)
    record = Record(relative_path, offset, url=_text(url) or "" if isinstance(url, str | bytes) else "")
    for key, field in source.fields.items():
        text = _text(get(field))
        if text is not None:
            record.metadata[key] = text
    _give_text(record, parts, source, limits)
    return record


def _give_text(record: Record, parts: list[str | bytes], source: Source, limits: Limits) -> None:
    text: str | bytes
    if all(isinstance(part, str) for part in parts):
        text = "\n\n".join(part for part in parts if isinstance(part, str))
    else:
        text = b"\n\n".join(part.encode() if isinstance(part, str) else part for part in parts)
    if source.text_format == "html" and not text:
        record.text = ""
    elif source.text_format == "html":
        page = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if len(page) > limits.page_bytes:
            record.too_large = len(page)
        else:
            record.html, record.charset = page, "utf-8" if isinstance(text, str) else ""
    elif (size := _bytes(text)) > limits.page_bytes:
        record.too_large = size
    elif isinstance(text, str):
        record.text = text
    else:
        record.plain = text


def _bytes(text: str | bytes) -> int:
    if isinstance(text, bytes) or text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))


def _text(value: Any) -> str | None:
    """A value of any type as metadata: strings as they are, dates by ISO 8601, lists and objects as JSON; None where
    there is none."""
    if value is None or value is MISSING:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bool | int | float | list | dict):
        try:
            return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except (TypeError, orjson.JSONEncodeError):
            return str(value)
    return str(value)
