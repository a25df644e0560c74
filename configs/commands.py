"""`millrace config`: the resolved tree with the origin of every value. `millrace recipe`: the presets as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from configs.loader import Loaded

ConfigName = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file or the name of a preset, as gpt-demo.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Values that replace the file's: train.steps=100.")
]


Preset = Annotated[str, typer.Argument(metavar="NAME", help="A preset, as gpt-demo or model/gpt-demo.")]

recipe = typer.Typer(
    name="recipe", help="The presets: list them, read one, start a file from one.", no_args_is_help=True
)


def mount(app: typer.Typer) -> None:
    """Register `config` and `recipe` on the root command."""
    app.command("config")(config)
    app.add_typer(recipe)


@recipe.command()
def ls(as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False) -> None:
    """Every preset: its name, its kind, and what it says of itself."""
    from configs import presets

    rows = [(name.partition("/")[2], name.partition("/")[0], presets.first_line(name)) for name in presets.names()]
    if as_json:
        import json

        typer.echo(json.dumps([dict(zip(("name", "kind", "says"), row, strict=True)) for row in rows], indent=2))
        return
    width = max(len(name) for name, _, _ in rows)
    for name, kind, says in rows:
        typer.echo(f"{name:<{width}}  {kind:<7}  {says}")


@recipe.command()
def cat(name: Preset) -> None:
    """The text of a preset."""
    from configs import presets

    typer.echo(presets.preset(name).read_text(encoding="utf-8"), nl=False)


@recipe.command()
def cp(
    name: Preset, dest: Annotated[Path, typer.Argument(metavar="DEST", help="A file that is not there, or a folder.")]
) -> None:
    """Start a configuration of your own from a preset."""
    from configs import presets
    from configs.errors import Problem, UserError

    source = presets.preset(name)
    target = dest / source.name if dest.is_dir() else dest
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UserError(Problem(f"{target} exists already", "", "name another file, or remove it first")) from None
    except OSError as error:
        raise UserError(Problem(f"{target} cannot be written: {error.strerror}")) from None
    typer.echo(str(target))


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
