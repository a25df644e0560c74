"""YAML text -> plain values with the line each one stands on.

YAML 1.2's idea of a scalar: `1e-3` is a number; `no`, `on` and dates are text (so Norwegian stays a language).
Duplicate keys, which YAML forbids and parsers accept, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from configs.errors import Problem

KeyPath = tuple[str | int, ...]
"""Where a value stands in the tree: keys and list indices from the root."""

_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_RESOLVERS = (
    ("null", re.compile(r"~|null|Null|NULL|"), "~nN\0"),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+"), "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("merge", re.compile(r"<<"), "<"),
)


_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML declares it so


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeDumper.yaml_implicit_resolvers.items()}  # noqa: RUF012


for _name, _pattern, _first in _RESOLVERS:
    _letters = [c.replace("\0", "") for c in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern.pattern})\Z"), _letters)
# A string that the loader above would read as a number must be written in quotes.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"(?:{_FLOAT.pattern})\Z"), list("-+.0123456789"))


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML folds line breaks of the other styles, and loses some of them.
    style = '"' if re.search(r"[\n\r\x85\u2028\u2029]", value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


class Parsed:
    """value: plain dicts, lists and scalars. lines: path -> 1-based line. problems: what is wrong with the text."""

    def __init__(self, text: str, file: str) -> None:
        self.value: Any = None
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._open: set[int] = set()
        try:
            self._loader = _Loader(text)
            node = self._loader.get_single_node()
            if node is not None:
                self.value = self._plain(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = ", ".join(part for part in (error.context, error.problem) if part)
            hint = "indent with spaces: YAML takes no tabs" if "'\\t'" in what else ""
            self._problem(f"this is not YAML: {what}", mark.line + 1 if mark else 1, "", hint)
        except (yaml.YAMLError, ValueError) as error:
            self._problem(f"this is not YAML: {error}", 1, "")

    def _problem(self, what: str, line: int, key: str, hint: str = "") -> None:
        self.problems.append(Problem(what, f"{self._file}:{line} {key}".rstrip(), hint))

    def _plain(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if id(node) in self._open:
            self._problem("an alias that contains itself", line, dotted(path))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
                self._problem(f"this is not YAML without code: tag {node.tag}", line, dotted(path))
                return None
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._plain(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._loader.construct_object(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        seen: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if (key := str(key_node.value)) in seen and key != "<<":
                self._problem(
                    f"key `{dotted((*path, key))}` is given twice",
                    line,
                    dotted((*path, key)),
                    f"the first is on line {seen[key]}; keep one",
                )
            seen.setdefault(key, line)
        self._loader.flatten_mapping(node)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = self._loader.construct_object(key_node), key_node.start_mark.line + 1
            if not isinstance(key, str):
                self._problem(f"key {key!r} is not a name", line, dotted(path), "put it in quotes")
                key = str(key_node.value)
            self.lines[(*path, key)] = line
            mapping[key] = self._plain(value_node, (*path, key))
        return mapping


def parse_value(text: str) -> Any:
    """One YAML value, as after `key=` on the command line; nothing at all is the empty string. Raises ValueError."""
    if not text.strip():
        return ""
    parsed = Parsed(text, "value")
    if parsed.problems:
        raise ValueError(parsed.problems[0].what)
    return parsed.value


def dump(value: Any) -> str:
    """Plain values -> YAML that `Parsed` reads back as the same values, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def dotted(path: KeyPath) -> str:
    """("sources", 0, "name") -> "sources.0.name"."""
    return ".".join(str(p) for p in path)


def dump_line(key: str, value: Any) -> str:
    """`key: value` on one line of YAML, collections in brackets."""
    flow = isinstance(value, list | dict)
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30, default_flow_style=flow)
    # Only what YAML calls a blank: a text may end in another kind of space.
    text = text.removesuffix("\n").removesuffix("...").rstrip(" \n")
    return f"{key}: {text}"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"num_layers": 2}} -> {"model.num_layers": 2}. Lists and empty maps stay values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping) and value
        flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
