"""`millrace bench`: measurements with their conditions. Heavy imports wait until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, help="What share of the machine's limit is reached.")


@bench.command()
def mfu(
    configs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG]... [KEY=VALUE]...", help="Configurations (default: gpt-demo), then overrides."
        ),
    ] = None,
    seq: Annotated[int, typer.Option(min=0, help="Tokens per sequence; 0: as configured.")] = 0,
    steps: Annotated[int, typer.Option(min=2, help="Steps to train.")] = 12,
    warmup: Annotated[int, typer.Option(min=0, help="First steps that are not counted.")] = 3,
    procs: Annotated[int, typer.Option(min=0, help="Processes; 0: layout.tp x layout.pp.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures with their conditions.")] = None,
) -> None:
    """Tokens/s, TFLOP/s and MFU of the real training loop, on synthetic tokens."""
    from configs.errors import UserError

    given = configs or []
    overrides = [word for word in given if "=" in word]
    names = [word for word in given if "=" not in word] or ["gpt-demo"]
    if warmup >= steps:
        raise UserError(f"--warmup {warmup} leaves none of --steps {steps} to measure")
    if json is not None and not json.resolve().parent.is_dir():
        raise UserError(f"--json {json}: there is no directory {json.resolve().parent}")

    from benchmarks.mfu import measure, table

    measured = [measure(name, overrides, seq, steps, warmup, procs) for name in names]
    typer.echo(table(measured))
    if json is not None:
        from benchmarks.results import write_json
        from pretrain.provenance import git_commit

        write_json(json, [result for one in measured for result in one.results()], git_commit())
        typer.echo(f"written: {json}")


@bench.command()
def extraction(
    corpora: Annotated[Path, typer.Argument(metavar="CORPORA", help="Folder with html/scrapinghub and its like.")],
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures with their conditions.")] = None,
) -> None:
    """F1 and MB/s of each way to turn HTML into text, on pages whose main text is known."""
    from configs.errors import UserError

    if json is not None and not json.resolve().parent.is_dir():
        raise UserError(f"--json {json}: there is no directory {json.resolve().parent}")

    from benchmarks.extraction import measure, page_sets, table

    scores = measure(page_sets(corpora))
    typer.echo(table(scores))
    if json is not None:
        from benchmarks.results import write_json
        from pretrain.provenance import git_commit

        write_json(json, [result for score in scores for result in score.results()], git_commit())
        typer.echo(f"written: {json}")


def mount(app: typer.Typer) -> None:
    """Registers `bench` on the front door."""
    app.add_typer(bench, name="bench")
