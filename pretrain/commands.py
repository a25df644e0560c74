"""The commands of this room: `millrace train`, `generate`, `trace`. Heavy imports wait until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OVERRIDES = typer.Argument(metavar="[KEY=VALUE]...", help="changes to the config, as in train.steps=100")


def train(
    config: Annotated[str, typer.Argument(help="a file or the name of a preset, as in gpt-demo")],
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    procs: Annotated[int, typer.Option(min=0, help="processes on this machine; 0: tp x pp")] = 0,
    allow: Annotated[list[str] | None, typer.Option(help="a key that may differ from the run that is resumed")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check everything, say what would run, start nothing")
    ] = False,
) -> None:
    """Train on this machine; a run directory with a checkpoint is resumed."""
    from configs.errors import UserError
    from configs.loader import load
    from pretrain import check
    from pretrain.local import train_here

    loaded = load(config, overrides or [])
    world_size = procs or loaded.config.layout.tp * loaded.config.layout.pp
    found = check.problems(loaded, world_size, allow or []) + check.disk_problems(loaded, whole_run=False)
    if found:
        raise UserError(*found)
    train_here(loaded, world_size, allow or [], dry_run)


def generate(
    run: Annotated[Path, typer.Argument(help="a run directory with a checkpoint")],
    prompt: Annotated[str, typer.Option(help="text to continue")] = "",
    tokens: Annotated[int, typer.Option(min=1, help="tokens to add at the most")] = 64,
    temperature: Annotated[float, typer.Option(min=0, help="0: the most likely token each time; 1: as likely")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the draws; the same seed gives the same text")] = 0,
    top_k: Annotated[int, typer.Option(min=0, help="draw among the k most likely tokens only; 0: all")] = 0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="draw among the most likely that hold p together")] = 1.0,
    count: Annotated[int, typer.Option(min=1, help="texts to draw")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON list of the texts")] = False,
) -> None:
    """Continue a text with the newest checkpoint of a run."""
    import warnings

    from configs.errors import Problem, UserError
    from configs.terminal import for_stdout, json_for_stdout

    if temperature == 0 and (top_k or top_p < 1 or count > 1):
        what = "--top-k, --top-p and --count draw tokens, and at temperature 0 nothing is drawn"
        raise UserError(Problem(what, "", "add --temperature 1, or a lower one for likelier text"))
    warnings.filterwarnings("ignore")
    from pretrain.parallel import runtime

    runtime.prepare()
    from pretrain.generate import generate as generated
    from pretrain.sampling import Sampling

    texts = generated(run, prompt, tokens, Sampling(temperature, top_k, top_p), seed, count)
    if as_json:
        typer.echo(json_for_stdout(texts))
        return
    for number, text in enumerate(texts, start=1):
        if count > 1:
            typer.echo(f"--- {number} of {count}")
        print(for_stdout(text))  # typer.echo takes escape sequences out of what goes into a file


def trace(
    run: Annotated[Path, typer.Argument(help="a run directory")],
    step: Annotated[int, typer.Option(help="an update of the run, the first is 1; one that lies ahead is foretold")],
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="the corpus, if it moved since")] = None,
    text: Annotated[bool, typer.Option("--text", help="characters and text of every span too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON on stdout")] = False,
) -> None:
    """The documents of a step's batch: id, address, and which of their tokens."""
    from configs.terminal import json_for_stdout
    from pretrain.trace import trace as traced

    found = traced(run, step, data, text)
    if as_json:
        typer.echo(json_for_stdout(found.as_json()))
    else:
        for line in found.lines():
            typer.echo(line)


def mount(app: typer.Typer) -> None:
    """Registers the commands on the front door."""
    app.command()(train)
    app.command()(generate)
    app.command()(trace)
