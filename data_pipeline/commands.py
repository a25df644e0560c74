"""`millrace data ...`: raw corpus -> shards, and what one asks of shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.commands import ConfigName, Overrides
from data_pipeline.train_classifier.command import train_classifier

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Corpus = Annotated[Path, typer.Argument(metavar="DIR", help="The corpus: data.dir of the run that wrote it.")]

data = typer.Typer(name="data", help="Raw corpus -> shards, and questions about shards.", no_args_is_help=True)
data.command("train-classifier")(train_classifier)


def mount(app: typer.Typer) -> None:
    """Registers `data` on the root command."""
    app.add_typer(data)


@data.command()
def run(
    config: ConfigName,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and say what would be done.")] = False,
    phase: Annotated[str, typer.Option(help="One phase only: list, documents, decide or shards, in this order.")] = "",
    part: Annotated[str, typer.Option(metavar="I/N", help="Of documents or shards: part I of N, I from 0.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a corpus: documents, duplicates out, tokenizer, shards, manifest, report. Resumes what was begun."""
    from configs.loader import load
    from data_pipeline import run as road
    from data_pipeline.progress import Progress

    loaded = load(config, overrides or [])
    if (phase or part) and not dry_run:
        from data_pipeline.parts import run_phase

        run_phase(loaded, phase, part, Progress())
    elif dry_run:
        plan = road.plan(loaded)
        _print(plan.as_json() if as_json else plan.text(), as_json)
    else:
        summary = road.run(loaded, Progress())
        _print(summary.as_json() if as_json else summary.text(), as_json)


@data.command()
def decide(
    config: ConfigName,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and write no verdict.")] = False,
    as_json: AsJson = False,
) -> None:
    """Decide again with other thresholds, from what an earlier run measured: no text is read."""
    from configs.loader import load
    from data_pipeline import decide as deciding
    from data_pipeline.progress import Progress

    found = deciding.decide(load(config, overrides or []), Progress(), dry_run)
    _print(found.as_json() if as_json else found.text(), as_json)


@data.command()
def verify(directory: Corpus, as_json: AsJson = False) -> None:
    """Reread a whole corpus against its manifest. Exit status 1 where anything is damaged, with all of it listed."""
    from dataclasses import asdict

    from data_pipeline.progress import Progress
    from data_pipeline.verify_documents import verify_all

    every = verify_all(directory, Progress())
    problems = [problem for found in every for problem in found.problems]
    if as_json:
        first, *others = [{"ok": not found.problems, **asdict(found)} for found in every]
        _print({**first, "ok": not problems, **({"others": others} if others else {})}, True)
    else:
        for problem in problems:
            typer.echo(f"damaged: {problem.what}\n  --> {problem.where}")
        for found in every:
            wrong = f"{len(found.problems)} problems"
            end = wrong if found.problems else f"all as written, corpus {found.corpus_id}"
            typer.echo(f"{found.counted}: {end}")
        if problems:
            typer.echo("go on: the command that made the corpus makes what is damaged again, once it is removed")
    if problems:
        raise typer.Exit(1)


@data.command()
def locate(
    directory: Corpus,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="N, SPLIT:N, SPLIT/SOURCE:N or SHARD:N; N from 0.")],
    as_json: AsJson = False,
) -> None:
    """The document that a token came from."""
    from dataclasses import asdict

    from data_pipeline import locate as locating

    found = asdict(locating.locate(directory, token))
    if as_json:
        _print(found, True)
    else:
        for name, value in found.items():
            # Crawled text: control characters must not reach the terminal.
            shown = ascii(value) if isinstance(value, str) and not value.isprintable() else value
            typer.echo(f"{name.replace('_', ' '):<19} {shown}")


@data.command()
def report(directory: Corpus, as_json: AsJson = False) -> None:
    """Write report.html of a corpus again, from its manifest, statistics and kept work."""
    from data_pipeline.report.build import write_report

    path = write_report(directory)
    _print({"report": str(path)} if as_json else str(path), as_json)


def _print(value: object, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    else:
        typer.echo(value)
