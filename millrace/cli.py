"""The front door: the `millrace` command.

Mounts the rooms' commands and turns failures into messages and exit statuses: 2 a user's mistake, 1 an internal fault,
75 try again later, 130 interrupted. Everything heavy is imported inside the commands: `millrace --help` stays quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import benchmarks.commands
import configs.commands
import data_pipeline.commands
import launchers.slurm.commands
import pretrain.commands
from configs.commands import ConfigName, Overrides
from configs.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_USER, MachineError, UserError

# Typer carries its own copy of click since 0.2x: the base of its exceptions is reached through one that it exports.
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="millrace",
    help="From raw web text to a trained GPT: one road, one config language, one command.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"millrace {version('millrace')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From raw web text to a trained GPT: one road, one config language, one command."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where corpus and run are written.")] = Path("demo"),
    overrides: Overrides = None,
) -> None:
    """The whole road on this machine, from documents to a sample of text."""
    from millrace.demo import run

    run(out, overrides or [])


@app.command()
def check(
    config: ConfigName,
    overrides: Overrides = None,
    procs: Annotated[int, typer.Option(min=0, help="Processes meant to train; 0: layout.tp x layout.pp.")] = 0,
    cluster: Annotated[str, typer.Option(metavar="C", help="Where it is meant to run: its queue is asked too.")] = "",
) -> None:
    """Every problem of a configuration at once: values, data, layout, disk, queue. Nothing is started."""
    from millrace.check import run

    run(config, overrides or [], procs, cluster)


@app.command()
def submit(
    config: ConfigName,
    overrides: Overrides = None,
    cluster: Annotated[str, typer.Option(metavar="C", help="A file or preset with a `cluster` section.")] = "",
    half: Annotated[str, typer.Option("--only", metavar="HALF", help="data or train, where CONFIG has both.")] = "",
    allow: Annotated[list[str] | None, typer.Option(help="A key that may differ from the run that is resumed.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the exact scripts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Put a corpus, a training run or both into the queue of a Slurm cluster."""
    from millrace.submit import run

    run(config, overrides or [], cluster, half, allow or [], dry_run, as_json)


@app.command()
def doctor(
    tracker: Annotated[str, typer.Option(metavar="URI", help="MLflow server to try; else MLFLOW_TRACKING_URI.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Versions, devices, Slurm, disk and tracker of this machine: a block to paste into a report."""
    from millrace.doctor import run

    run(as_json, tracker)


data_pipeline.commands.mount(app)
pretrain.commands.mount(app)
benchmarks.commands.mount(app)
configs.commands.mount(app)
launchers.slurm.commands.mount(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    raise SystemExit(_status(arguments))


def _status(arguments: Sequence[str] | None) -> int:
    try:
        status = typer.main.get_command(app).main(args=arguments, prog_name="millrace", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except (UserError, MachineError) as error:
        _print(str(error))
        return error.exit_status
    except _ClickException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        _print("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        return _internal(error)


def _usage(error: Exception) -> int:
    """A command line that cannot be understood."""
    context = getattr(error, "ctx", None)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # the message is the help
        _print(message)
    else:
        command = context.command_path if context is not None else "millrace"
        hint = f"`{command} --help` tells what it takes"
        if "." in (option := getattr(error, "option_name", "") or ""):
            hint = f"write {option.lstrip('-')}=VALUE: changes to a config have no dashes"
        _print(f"error: {message.rstrip('.')}\n  hint: {hint}")
    return EXIT_USER


def _internal(error: Exception) -> int:
    """A fault of Millrace itself: one paragraph on the terminal, the traceback in a file."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    last = traceback.extract_tb(error.__traceback__)[-1]
    _print(f"fault: {type(error).__name__}: {error}\n  where: {last.filename}:{last.lineno} in {last.name}")
    if os.environ.get("MILLRACE_TRACEBACK") == "1":
        _print(text)
    else:
        descriptor, path = tempfile.mkstemp(prefix="millrace-", suffix=".traceback")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        _print(f"  go on: this is a defect of Millrace; please report it with the traceback in {path}")
    return EXIT_INTERNAL


def _print(text: str) -> None:
    """To stderr; the first word of each finding in colour on a terminal, unless NO_COLOR is set."""
    if sys.stderr.isatty():
        from configs.terminal import harmless

        text = harmless(text)  # paths and addresses in it are others' words
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        import re

        text = re.sub(r"^( *)(error|fault):", "\\1\033[1;31m\\2:\033[0m", text, flags=re.MULTILINE)
        text = re.sub(r"^( *)(hint|go on):", "\\1\033[36m\\2:\033[0m", text, flags=re.MULTILINE)
    print(text, file=sys.stderr)

