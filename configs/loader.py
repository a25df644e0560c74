"""A file or preset + `key=value` overrides -> one validated tree, with the origin of every value.

Order of precedence, lowest first: defaults, `include`d files in their order, the file's own keys, the command line.
Maps of included files merge; lists are replaced whole; a value on the command line replaces what stood at its key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs import presets
from configs.errors import Problem, UserError
from configs.explain import explain
from configs.schema.tree import Config
from configs.source import KeyPath, Parsed, dotted, dump, parse_value
from configs.suggest import hint_for_key, schema_keys

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


@dataclass
class Loaded:
    """A validated configuration and where each of its values came from.

    origins: dotted key of every leaf -> `file:line`, `command line` or `default`. Leaves are scalars, lists of scalars
    and empty maps. files: every file read, the one asked for last.
    """

    config: Config
    origins: dict[str, str]
    files: list[Path]
    _tree: _Tree

    def where(self, key: str) -> str:
        """The place to mend `key`: `file:line key`, `command line: key=value` or `default key`."""
        if self.origins.get(key) == "default":
            return f"default {key}"
        return self._tree.where(tuple(int(p) if p.isdigit() else p for p in key.split(".")))

    def to_dict(self) -> dict[str, Any]:
        """The resolved tree as plain values; what came from the environment stays `${env:NAME}`."""
        resolved = self.config.model_dump()
        for path, (raw, _) in self._tree.secrets.items():
            _set(resolved, path, raw)
        return resolved

    def to_yaml(self) -> str:
        """The resolved tree as YAML that `load_file` reads back; what came from the environment stays `${env:NAME}`."""
        return dump(self.to_dict())


class ConfigError(UserError):
    """A configuration with mistakes.

    sections_sound(names) tells whether none of them can lie in those sections; `partial` then holds what they say, with
    defaults in the others, so that a check of that half of the road can add its findings.
    """

    def __init__(self, problems: list[Problem], partial: Loaded) -> None:
        super().__init__(*problems)
        self.partial = partial

    def sections_sound(self, names: Container[str]) -> bool:
        return all(name in Config.model_fields and name not in names for name in self.partial._tree.unsound)


@dataclass
class _Tree:
    """Merged plain values before validation. unsound: the sections with mistakes, "" for a mistake outside of all."""

    value: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    secrets: dict[KeyPath, tuple[str, str]] = field(default_factory=dict)  # path -> as written, as resolved
    unsound: set[str] = field(default_factory=set)

    def where(self, path: KeyPath) -> str:
        """Of the value, else of the first thing below it, else of the section it would stand in."""
        key = dotted(path)
        candidates = [path, *sorted((p for p in self.origins if p[: len(path)] == path), key=str)]
        candidates += [path[:n] for n in range(len(path) - 1, 0, -1)]
        for candidate in candidates:
            if (origin := self.origins.get(candidate)) is None:
                continue
            if origin == "command line":
                return f"command line: {self.overrides[candidate]}"
            return f"{origin} {key}"
        return f"default {key}"

    def redact(self, text: str) -> str:
        """`text` without any value that came from the environment."""
        for raw, resolved in self.secrets.values():
            for form in {resolved, repr(resolved)[1:-1]} - {""}:
                text = text.replace(form, raw)
        return text


def load(name_or_path: str, overrides: Sequence[str] = (), over: Sequence[str] = ()) -> Loaded:
    """The configuration `name_or_path` (a preset's name or a file) changed by `key=value` overrides.

    over: further presets or files, each merged over what stands before it, as `--cluster` names one.
    Raises UserError with every problem found, in the files and on the command line alike.
    """
    found = [presets.find(str(name)) for name in (name_or_path, *over)]
    absent = [path for path in found if isinstance(path, Problem)]
    if absent:
        raise UserError(*absent, *_override_syntax(overrides))
    return _load([path for path in found if isinstance(path, Path)], overrides)


def load_file(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """As `load`, for a path only: a run's resolved config.yaml, whatever its name."""
    path = Path(path)
    if not path.is_file():
        raise UserError(Problem(f"there is no file {path}"))
    return _load([path], overrides)


def _load(paths: Sequence[Path], overrides: Sequence[str]) -> Loaded:
    tree = _Tree()
    problems: list[Problem] = []
    files: list[Path] = []
    for path in paths:
        _read(path, tree, problems, files, chain=())
    if problems:
        tree.unsound.add("")
    for override in overrides:
        told = len(problems)
        _override(override, tree, problems)
        if len(problems) > told:
            tree.unsound.add(re.split(r"[.=]", override)[0])
    _interpolate(tree, problems)
    try:
        config = Config.model_validate(tree.value)
    except ValidationError as error:
        places = {p.where for p in problems}
        problems += [p for p in explain(error, tree.where, tree.redact, tree.secrets) if p.where not in places]
        tree.unsound |= {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
        config = Config.model_validate({key: value for key, value in tree.value.items() if key not in tree.unsound})
    origins = {dotted(leaf): _origin(tree, leaf) for leaf in _leaves(config.model_dump())}
    loaded = Loaded(config, origins, files, tree)
    if problems:
        raise ConfigError(problems, loaded)
    return loaded


# --- files --------------------------------------------------------------------------------------------------------


def _read(path: Path, tree: _Tree, problems: list[Problem], files: list[Path], chain: tuple[Path, ...]) -> None:
    """Merge `path`, and before it what it includes, into `tree`."""
    shown = _shown(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problems.append(Problem(f"cannot read {shown}: {error.strerror}", shown))
        return
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is {error.object[error.start]:#04x}"
        problems.append(Problem(f"{shown} is not UTF-8 text: {byte}", shown))
        return
    parsed = Parsed(text, shown)
    problems += parsed.problems
    value = parsed.value
    if value is None and not parsed.problems:
        problems.append(Problem(f"{shown} is empty", shown, f"a configuration has sections such as {_sections()}"))
    if value is not None and not isinstance(value, dict):
        problems.append(Problem(f"{shown} does not hold a map of sections", f"{shown}:1", f"sections: {_sections()}"))
    if not isinstance(value, dict):
        return
    include = value.pop("include", [])
    for name in [include] if isinstance(include, str) else include if isinstance(include, list) else [include]:
        where = f"{shown}:{parsed.lines[('include',)]} include"
        if not isinstance(name, str):
            problems.append(Problem(f"`include` takes names of presets or paths, found {name!r}", where))
            continue
        found = presets.find(name, path.parent, where)
        if isinstance(found, Problem):
            problems.append(found)
        elif found.resolve() in (path.resolve(), *chain):
            problems.append(
                Problem(
                    f"{name} includes itself",
                    where,
                    f"a preset of the same name in another folder is written with its folder, as in model/{path.stem}"
                    if found == path
                    else "",
                )
            )
        else:
            _read(found, tree, problems, files, (*chain, path.resolve()))
    _merge(tree, (), value, {p: f"{shown}:{line}" for p, line in parsed.lines.items()})
    files.append(path)


def _merge(tree: _Tree, path: KeyPath, value: Any, origins: dict[KeyPath, str]) -> None:
    if isinstance(value, dict) and isinstance(_get(tree.value, path), dict):
        if path:
            tree.origins[path] = origins[path]
        for key, inner in value.items():
            _merge(tree, (*path, key), inner, origins)
    else:
        _replace(tree, path, value)
        tree.origins |= {p: origin for p, origin in origins.items() if p[: len(path)] == path}


def _replace(tree: _Tree, path: KeyPath, value: Any) -> None:
    for stale in [p for p in tree.origins if p[: len(path)] == path]:
        del tree.origins[stale]
    _set(tree.value, path, value)


def _shown(path: Path) -> str:
    """As short as it can be opened from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _sections() -> str:
    return ", ".join(Config.model_fields)


# --- command line -------------------------------------------------------------------------------------------------


def _override_syntax(overrides: Sequence[str]) -> list[Problem]:
    wrong = [o for o in overrides if not re.match(r"[^=\s]+=", o)]
    spelled = [re.fullmatch(r"([\w.]+)\s*[:=]\s*(.+)", o) for o in wrong]
    hints = [f"write {m[1]}={m[2]}" if m else "write key=value, as in train.steps=100" for m in spelled]
    return [
        Problem(f"{o!r} is not an override", f"command line: {o}", hint) for o, hint in zip(wrong, hints, strict=True)
    ]


def _override(override: str, tree: _Tree, problems: list[Problem]) -> None:
    if syntax := _override_syntax([override]):
        problems += syntax
        return
    key, _, text = override.partition("=")
    where = f"command line: {override}"
    try:
        value = parse_value(text)
    except ValueError as error:
        problems.append(Problem(f"the value of `{key}`: {error}", where, "quote text that holds : # { } [ ] or ,"))
        return
    path: KeyPath = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    if path[0] not in Config.model_fields:
        problems.append(Problem(f"unknown key `{key}`", where, hint_for_key(path, Config)))
        return
    for n in range(1, len(path)):
        parent, step, above = _get(tree.value, path[:n]), path[n], dotted(path[:n])
        if parent is None:
            entries = any(key.startswith(f"{above}.*") for key in schema_keys(Config))
            parent = [] if entries or isinstance(step, int) else {}
            _replace(tree, path[:n], parent)
        if isinstance(parent, list) and not isinstance(step, int):
            problems.append(Problem(f"`{above}` is a list", where, f"its entries are `{above}.0`, ..."))
            return
        if isinstance(parent, list) and isinstance(step, int) and step > len(parent):
            have = f"it has {len(parent)}" if parent else "it is empty"
            problems.append(Problem(f"`{above}` has no entry {step}: {have}", where, f"the next is {len(parent)}"))
            return
        if not isinstance(parent, list | dict):
            hint = f"set `{above}` itself" if above in schema_keys(Config) else hint_for_key(path[:n], Config)
            problems.append(Problem(f"`{above}` holds no keys", where, hint))
            return
    _replace(tree, path, value)
    for inner in (path, *((*path, *leaf) for leaf in _every(value))):
        tree.origins[inner], tree.overrides[inner] = "command line", override


# --- environment --------------------------------------------------------------------------------------------------


def _interpolate(tree: _Tree, problems: list[Problem]) -> None:
    """Replace `${env:NAME}` in texts, once the last word on every key is known."""
    for path in list(_leaves_of_any(tree.value)):
        raw = _get(tree.value, path)
        if not isinstance(raw, str) or "${" not in raw:
            continue
        resolved, where = raw, tree.where(path)
        for match in _REFERENCE.finditer(raw):
            name = _ENV.fullmatch(match[1])
            if name is None:
                meant = match[1] if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", match[1]) else "NAME"
                hint = f"write ${{env:{meant}}} for a variable of the environment"
                problems.append(Problem(f"`{match[0]}` means nothing here", where, hint))
                tree.unsound.add(str(path[0]))
            elif name[1] not in os.environ:
                tree.unsound.add(str(path[0]))
                problems.append(Problem(f"the environment has no variable {name[1]}", where, f"export {name[1]}=..."))
            else:
                resolved = resolved.replace(match[0], os.environ[name[1]])
        if resolved != raw:
            tree.secrets[path] = (raw, resolved)
            _set(tree.value, path, resolved)


# --- trees --------------------------------------------------------------------------------------------------------


def _get(value: Any, path: KeyPath) -> Any:
    """What stands at `path`, or None."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _set(value: Any, path: KeyPath, new: Any) -> None:
    for step in path[:-1]:
        value = value[step]
    if isinstance(value, list) and path[-1] == len(value):
        value.append(new)
    else:
        value[path[-1]] = new


def _every(value: Any) -> list[KeyPath]:
    """The path of every value below this one, sections and leaves."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for step, inner in items for p in [(step,), *((step, *rest) for rest in _every(inner))]]


def _leaves_of_any(value: Any) -> list[KeyPath]:
    return [p for p in _every(value) if not isinstance(_get(value, p), dict | list)]


def _leaves(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Paths of scalars, lists of scalars and empty maps."""
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key))]
    if isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        return [leaf for i, inner in enumerate(value) for leaf in _leaves(inner, (*path, i))]
    return [path]


def _origin(tree: _Tree, leaf: KeyPath) -> str:
    if leaf in tree.origins:
        return tree.origins[leaf]
    below = [origin for p, origin in tree.origins.items() if p[: len(leaf)] == leaf]
    return below[0] if below else "default"
