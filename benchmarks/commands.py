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


@bench.command()
def data(
    peers: Annotated[
        bool, typer.Option("--peers", help="Measure datatrove beside it (make peers installs it).")
    ] = False,
    corpora: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pages and texts; else MILLRACE_CORPORA, else the installed documentation."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ROW", help="Measure this row alone; repeatable.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Repetitions, of which the median counts.")] = 3,
    seconds: Annotated[float, typer.Option(min=0, help="Processor time of a repetition, at least.")] = 3.0,
    pages: Annotated[str, typer.Option(metavar="SIZE", help="HTML to draw from the corpora.")] = "16 MB",
    texts: Annotated[str, typer.Option(metavar="SIZE", help="Text to draw from the corpora.")] = "3 MB",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures with their conditions.")] = None,
) -> None:
    """MB per CPU-second of each step from WARC to clean Parquet, beside datatrove's on the same text."""
    import os
    import tempfile

    from configs.errors import Problem, UserError
    from configs.schema.section import parse_bytes

    given = corpora or (Path(found) if (found := os.environ.get("MILLRACE_CORPORA")) else None)
    problems = []
    sizes = []
    for option, value in (("--pages", pages), ("--texts", texts)):
        try:
            sizes.append(int(parse_bytes(value)))
        except ValueError as error:
            problems.append(Problem(f"{option}: {error}"))
    if given is not None and not given.is_dir():
        problems.append(Problem(f"there is no folder {given}", "--corpora" if corpora else "MILLRACE_CORPORA"))
    if json is not None and not json.resolve().parent.is_dir():
        problems.append(Problem(f"--json {json}: there is no directory {json.resolve().parent}"))

    from benchmarks.data import rows
    from benchmarks.data.inputs import Inputs

    names = [row.name for row in rows.ROWS]
    problems += [
        Problem(f"--only {name}: there is no such row", "", f"rows: {', '.join(names)}")
        for name in only or ()
        if name not in names
    ]
    if peers:
        from benchmarks.peers.environment import environment

        try:
            environment()
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*problems)

    def say(line: str) -> None:
        typer.echo(line, err=True)

    from pretrain.provenance import git_commit

    commit, load = git_commit(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as directory:
        inputs = Inputs(Path(directory), given, page_bytes=sizes[0], text_bytes=sizes[1], say=say)
        chosen = [row for row in rows.ROWS if row.name in (only or names)]
        outcomes = rows.run(chosen, inputs, peers, seconds, repeats, say)
        typer.echo(rows.table(outcomes))
        if json is not None:
            from benchmarks.results import write_json

            conditions = rows.conditions(outcomes, inputs, seconds, repeats, load)
            write_json(json, [outcome.result for outcome in outcomes], commit, conditions)
            typer.echo(f"written: {json}")


def mount(app: typer.Typer) -> None:
    """Registers `bench` on the front door."""
    app.add_typer(bench, name="bench")
