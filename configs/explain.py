"""pydantic's errors in the user's words: which key, what was found, what is expected, the nearest value that works."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configs.errors import Problem
from configs.schema.tree import Config
from configs.source import KeyPath, dotted
from configs.suggest import hint_for_key, meant_value

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a map of keys to values",
    "model_type": "a section with keys of its own",
    "model_attributes_type": "a section with keys of its own",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


_SHORT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kKmMbB])")
_THOUSANDS = {"k": 10**3, "m": 10**6, "b": 10**9}


def explain(
    error: ValidationError,
    where: Callable[[KeyPath], str],
    redact: Callable[[str], str],
    secrets: Container[KeyPath],
) -> list[Problem]:
    """One Problem for each of pydantic's errors. `redact` takes values of the environment out of a text."""
    problems = []
    for detail in error.errors(include_url=False):
        path = tuple(detail["loc"])
        what, hint = _say(detail, path, path in secrets)
        problems.append(Problem(redact(what), where(path), redact(hint)))
    return problems


def _say(detail: ErrorDetails, path: KeyPath, secret: bool) -> tuple[str, str]:
    key, kind, context = f"`{dotted(path)}`", detail["type"], detail.get("ctx", {})
    found = "what ${env:...} gave" if secret else _described(detail["input"])
    if kind == "extra_forbidden":
        return f"unknown key {key}", hint_for_key(path, Config)
    if kind == "missing":
        return f"{key} is missing", _description(path)
    if kind in _EXPECTED:
        return f"{key} must be {_EXPECTED[kind]}, found {found}", _hint_for_type(kind, detail["input"], path)
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        bound, meaning = f"{context[name]:g}" if isinstance(context[name], float) else context[name], _description(path)
        use = f"use {words} {bound}" if name in ("ge", "le") else ""
        return f"{key} must be {words} {bound}, found {found}", "; ".join(text for text in (use, meaning) if text)
    if kind == "literal_error":
        expected = str(context["expected"])
        choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
        meant = meant_value(dotted(path), detail["input"], choices)
        hint = f"did you mean {meant}?" if meant else _description(path)
        return f"{key} must be {expected}, found {found}", hint
    if kind == "string_pattern_mismatch":
        return f"{key} must match {context['pattern']}, found {found}", _description(path)
    if kind == "value_error":
        return f"{key}: {context['error']}", _hint_for_error(str(context["error"]), detail["input"])
    return f"{key}: {detail['msg']}, found {found}", _description(path)


def _described(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"the text {_clipped(repr(value))}"
    if isinstance(value, dict):
        return f"a map ({_clipped(', '.join(str(k) for k in value)) or 'empty'})"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return _clipped(str(value))


def _clipped(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _hint_for_type(kind: str, value: Any, path: KeyPath) -> str:
    if kind in ("int_type", "int_from_float") and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kind == "list_type" and isinstance(value, str | int | float):
        return f"write [{value}]"
    if kind.startswith("model_"):
        return _hint_for_section(value, path)
    if kind in ("int_type", "float_type") and isinstance(value, str) and (match := _SHORT.fullmatch(value)):
        return f"write {float(match[1]) * _THOUSANDS[match[2].lower()]:.0f}"
    if isinstance(value, str) and kind in ("int_type", "float_type", "bool_type"):
        try:
            float(value)
        except ValueError:
            if value.lower() in ("yes", "on", "no", "off"):
                return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
        else:
            return f"write {value} without quotes"
    return _description(path)


def _hint_for_section(value: Any, path: KeyPath) -> str:
    """A single value where a section belongs: the space after a colon forgotten, or the key inside left out."""
    model: Any = Config
    for step in path:
        model = model if isinstance(step, int) else _section_of(model.model_fields[step].annotation)
    fields = model.model_fields if model is not None else {}
    if isinstance(value, str):
        key, colon, rest = value.partition(":")
        if colon and key in fields:
            return f"write `{key}: {rest.strip()}`, with a space after the colon"
        for name, field in fields.items():
            if value in getattr(field.annotation, "__args__", ()):
                return f"did you mean `{dotted((*path, name))}`?"
    return f"keys here: {', '.join(fields)}"


def _hint_for_error(error: str, value: Any) -> str:
    """`2 gigs`, where bytes are asked for."""
    if "is not a size" in error and (match := re.fullmatch(r"\s*([0-9.]+)\s*([kmgtKMGT])[A-Za-z]*\s*", value)):
        return f"write {match[1]} {match[2].upper().replace('K', 'k')}B"
    return ""


def _description(path: KeyPath) -> str:
    """What the schema says of the key at `path`."""
    model: Any = Config
    text = ""
    for step in path:
        if isinstance(step, int):
            continue
        fields = getattr(model, "model_fields", {})
        if step not in fields:
            return text if model is Config else ""
        text = fields[step].description or ""
        model = _section_of(fields[step].annotation)
    return text


def _section_of(annotation: Any) -> Any:
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for a in getattr(annotation, "__args__", ()) if (found := _section_of(a)) is not None), None)
