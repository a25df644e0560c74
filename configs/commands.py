"""`millrace config`: the resolved tree with the origin of every value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from configs.loader import Loaded

ConfigName = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file or the name of a preset, as gpt-demo.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace the file's: train.steps=100.")
]


def mount(app: typer.Typer) -> None:
    """Register `config` on the root command."""
    app.command("config")(config)


def config(
    config: ConfigName,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: {config, origins}.")] = False,
) -> None:
    """The resolved configuration, with the origin of each value."""
    from configs.loader import load

    loaded = load(config, overrides or [])
    if as_json:
        import json

        typer.echo(json.dumps({"config": loaded.to_dict(), "origins": loaded.origins}, indent=2, ensure_ascii=False))
    else:
        typer.echo(annotated(loaded), nl=False)


def annotated(loaded: Loaded) -> str:
    """The resolved tree as YAML, each value followed by its origin as a comment."""
    lines = list(_lines(loaded.to_dict(), "", "", loaded.origins))
    width = min(max(len(text) for text, _ in lines), 56)
    return "".join(f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in lines)


def _lines(tree: dict[str, Any], indent: str, prefix: str, origins: dict[str, str]) -> list[tuple[str, str]]:
    from configs.source import dump_line

    lines: list[tuple[str, str]] = []
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if key in origins:
            lines.append((f"{indent}{dump_line(name, value)}", origins[key]))
        elif isinstance(value, list):
            lines.append((f"{indent}{name}:", ""))
            for i, entry in enumerate(value):
                inner = _lines(entry, indent + "    ", f"{key}.{i}.", origins)
                lines.append((f"{indent}  - {inner[0][0].lstrip()}", inner[0][1]))
                lines += inner[1:]
        else:
            lines += [(f"{indent}{name}:", ""), *_lines(value, indent + "  ", f"{key}.", origins)]
    return lines
