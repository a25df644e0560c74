"""`millrace jobs`, `logs` and `cancel`: the jobs that `millrace submit` put into the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from launchers.slurm.records import Submitted

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The number that `millrace submit` printed.")]


def mount(app: typer.Typer) -> None:
    """Registers the commands on the root command."""
    app.command()(jobs)
    app.command()(logs)
    app.command()(cancel)


def jobs(
    job: Annotated[str, typer.Argument(metavar="[JOB]", help="One job, with its logs and why it failed.")] = "",
    last: Annotated[int, typer.Option(min=1, help="How many to list, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """The jobs submitted from this account: state, restarts, nodes, time, and why one waits or failed."""
    import json
    from dataclasses import asdict

    from launchers.slurm.client import require
    from launchers.slurm.jobs import headline, states, why
    from launchers.slurm.records import records

    require()
    wanted = [_find(job)] if job else records()[-last:]
    known = states(wanted)
    reasons = {record.id: why(record) if known[record.id].failed else "" for record in wanted}
    if as_json:
        rows = [
            {**asdict(record), **asdict(known[record.id]), "why": reasons[record.id],
             "logs": [str(path) for path in record.logs()]}
            for record in wanted
        ]  # fmt: skip
        typer.echo(json.dumps(rows[0] if job else rows, indent=2, ensure_ascii=False))
    elif not wanted:
        typer.echo("no job was submitted from this account")
    else:
        table: list[tuple[str, ...]] = [("JOB", "NAME", "STATE", "RESTARTS", "NODES", "TIME", "REASON")]
        for record in wanted:
            state = known[record.id]
            reason = ": ".join(part for part in (state.reason, headline(reasons[record.id])) if part)
            row = (record.id, record.name, state.state, str(state.restarts), state.nodes, state.elapsed, reason)
            table.append(row)
        _table(table if not job else [row[:6] for row in table])
        if job:
            _details(wanted[0], known[job].reason, reasons[job])


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        # Logs hold crawled text and paths: control characters must not reach the terminal.
        cells = [cell if cell.isprintable() else ascii(cell)[1:-1] for cell in row]
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()[:200])


def _details(record: Submitted, reason: str, why: str) -> None:
    from configs.terminal import for_stdout

    typer.echo(f"\ndirectory  {record.directory}\nscript     {record.script}")
    for path in record.logs():
        typer.echo(f"log        {path}")
    if reason:
        typer.echo(f"reason     {reason}")
    if why:
        typer.echo(for_stdout(why))


def logs(
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    node: Annotated[str, typer.Option(help="Only this node's.")] = "",
) -> None:
    """What a job printed: the batch script, then each node."""
    from configs.terminal import for_stdout
    from launchers.slurm.client import require
    from launchers.slurm.follow import lines
    from launchers.slurm.jobs import states

    record = _find(job)
    if follow:
        require()
    printed = False
    for line in lines(record, node, (lambda: states([record])[record.id].alive) if follow else None):
        print(for_stdout(line), flush=True)  # typer.echo takes escape sequences out of what goes into a file
        printed = True
    if not printed:
        typer.echo(f"job {job} has printed nothing so far; `millrace jobs {job}` tells its state", err=True)


def cancel(job: JobId) -> None:
    """End a job, and with it the jobs of the same submission that wait for it."""
    from launchers.slurm.client import call
    from launchers.slurm.jobs import states
    from launchers.slurm.records import records

    record = _find(job)
    later = [other for other in records() if other.submission == record.submission and int(other.id) >= int(job)]
    known = states(later)
    alive = [other for other in later if known[other.id].alive]
    if not alive:
        typer.echo(f"job {job} is {known[job].state.lower()}: nothing to cancel")
        return
    call("scancel", *(other.id for other in alive))
    typer.echo("cancelled " + ", ".join(f"{other.id} ({other.name})" for other in alive))


def _find(job: str) -> Submitted:
    from configs.errors import Problem, UserError
    from launchers.slurm.records import records

    known = {record.id: record for record in records()}
    if job not in known:
        newest = ", ".join(list(known)[-5:])
        hint = f"the newest: {newest}" if known else "none was submitted from this account"
        raise UserError(Problem(f"no job {job} was submitted by `millrace submit`", hint=hint))
    return known[job]
