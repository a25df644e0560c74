"""The presets shipped beside the models: YAML files that load by name, `gpt-demo` or `model/gpt-demo`."""

from __future__ import annotations

from pathlib import Path

from configs.errors import Problem, UserError
from configs.suggest import nearest

ROOT = Path(__file__).resolve().parent
FOLDERS = ("train", "data", "model", "cluster")
"""Where a bare name is looked up, in this order."""


def names() -> list[str]:
    """Every preset as `folder/name`, in the order of lookup."""
    return [f"{folder}/{path.stem}" for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.yaml"))]


def preset(name: str) -> Path:
    """The file of a preset, never of the user's own. UserError: there is none of this name."""
    for known in names():
        if name in (known, known.partition("/")[2]):
            return ROOT / f"{known}.yaml"
    raise UserError(Problem(f"there is no preset {name!r}", "", _offer(name)))


def first_line(name: str) -> str:
    """What a preset says of itself in the first line of its comment."""
    return (ROOT / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def find(name_or_path: str, relative_to: Path | None = None, where: str = "") -> Path | Problem:
    """The file meant by a preset's name or a path (relative to `relative_to`, else to the current directory).

    A word without a slash and without a suffix is a preset's name; `model/gpt-demo` names one folder's preset.
    """
    looks_like_path = name_or_path.endswith((".yaml", ".yml"))
    if not looks_like_path:
        for preset in names():
            if name_or_path == preset or name_or_path == preset.partition("/")[2]:
                return ROOT / f"{preset}.yaml"
    path = (relative_to or Path()) / Path(name_or_path).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return Problem(f"{name_or_path} is a directory, not a configuration file", where, _offer(name_or_path))
    kind = "configuration file" if looks_like_path or "/" in name_or_path else "preset or file"
    return Problem(f"there is no {kind} {name_or_path!r}", where, _offer(name_or_path, path.parent))


def _offer(name: str, folder: Path | None = None) -> str:
    beside = [p.name for p in folder.glob("*.y*ml")] if folder is not None and folder.is_dir() else []
    bare = list(dict.fromkeys(preset.partition("/")[2] for preset in names()))
    near = nearest(Path(name).name, [*beside, *bare, *names()], count=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"presets: {', '.join(bare)}"
