"""`millrace demo`: the whole road on this machine, then what came of it, read from the files the road wrote."""

from __future__ import annotations

import json
import math
import shlex
import sqlite3
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from configs.errors import UserError

PRESET = "gpt-demo"
PROMPT = "This function returns"
SAMPLE_TOKENS = 64
TEMPERATURE = 0.8  # the most likely tokens of so small a model are line breaks and nothing else
SPLITS = ("train", "validation", "test")


def run(out: Path, overrides: Sequence[str]) -> None:
    """Corpus into out/corpus, run into out/run, both from the preset `gpt-demo` changed by `overrides`.

    What an earlier call has finished is not done again. Raises UserError with all problems before anything starts.
    """
    from configs.loader import load
    from data_pipeline import check as data_check
    from pretrain import check as pretrain_check

    started = time.monotonic()
    changes = [_override("data.dir", out / "corpus"), _override("run.dir", out / "run"), *overrides]
    loaded = load(PRESET, changes)
    world_size = loaded.config.layout.tp * loaded.config.layout.pp
    if found := [*data_check.problems(loaded), *pretrain_check.problems(loaded, world_size, corpus=False)]:
        raise UserError(*found)

    from data_pipeline.commands import run as data_run
    from pretrain.commands import generate, train

    corpus, run_dir = Path(loaded.config.data.dir), Path(loaded.config.run.dir)
    _heading("1 of 3  documents -> shards", "data", "run", PRESET, *changes)
    data_run(PRESET, changes)
    _heading(f"2 of 3  shards -> model, on {world_size} processes", "train", PRESET, *changes)
    train(PRESET, changes, procs=world_size)
    options = ["--prompt", PROMPT, "--temperature", str(TEMPERATURE)]
    _heading("3 of 3  a sample of its text", "generate", str(run_dir), *options)
    generate(run_dir, PROMPT, SAMPLE_TOKENS, TEMPERATURE, seed=0)
    _heading(f"done in {_minutes(time.monotonic() - started)}")
    typer.echo(table(facts(corpus, run_dir), corpus, run_dir))
    typer.echo(curves(loaded.config.tracking.uri, run_dir))


def facts(corpus: Path, run_dir: Path) -> dict[str, Any]:
    """The figures of a corpus and a run, from manifest.json, stats.json and metrics.jsonl.

    documents_in, documents_kept, duplicates, tokens (by split), vocab_size; steps, first_loss, last_loss (nats per
    token), tokens_per_second and mfu (medians over the steps after the first tenth; mfu None where no peak is known),
    peak; untrained_perplexity, unigram_perplexity, perplexity (validation; None where that split is empty).
    """
    from pretrain.tracking.metrics import read_metrics

    manifest = json.loads((corpus / "manifest.json").read_text())
    stats = json.loads((corpus / "stats.json").read_text())
    stages = {stage["name"]: stage for stage in manifest["stages"]}
    rows = read_metrics(run_dir)
    start = next(row for row in reversed(rows) if row.get("event") == "start")
    steps = [row for row in rows if "loss" in row]
    settled = steps[len(steps) // 10 :]
    evaluations = [row for row in rows if "eval_loss" in row]
    mfu = [row["mfu"] for row in settled if "mfu" in row]
    return {
        "documents_in": manifest["stages"][0]["documents"]["in"],
        "documents_kept": manifest["stages"][-1]["documents"]["kept"],
        "duplicates": sum(stages["dedup"]["documents"]["rejected"].values()),
        "tokens": {split: sum(s["tokens"] for s in manifest["splits"].get(split, [])) for split in SPLITS},
        "vocab_size": manifest["tokenizer"]["vocab_size"],
        "corpus_seconds": stats["seconds"],
        "steps": steps[-1]["step"],
        "first_loss": steps[0]["loss"],
        "last_loss": steps[-1]["loss"],
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in settled),
        "mfu": statistics.median(mfu) if mfu else None,
        "peak": start["peak"],
        "world_size": start["world_size"],
        "untrained_perplexity": evaluations[0]["eval_perplexity"] if evaluations else None,
        "unigram_perplexity": evaluations[0].get("unigram_perplexity") if evaluations else None,
        "perplexity": evaluations[-1]["eval_perplexity"] if evaluations else None,
    }


def table(found: dict[str, Any], corpus: Path, run_dir: Path) -> str:
    """The figures of `facts` for people."""
    drop = found["first_loss"] - found["last_loss"]
    tokens = ", ".join(f"{split} {count:,}" for split, count in found["tokens"].items())
    if found["mfu"] is None:
        mfu = f"unknown: no peak is known for {found['peak']['name']}"
    else:
        peak = found["peak"]
        mfu = f"{100 * found['mfu']:.1f} % of {peak['flops_per_device'] / 1e9:,.0f} GFLOP/s a process ({peak['name']})"
    rows = [
        ("documents", f"{found['documents_in']:,} in, {found['documents_kept']:,} kept"),
        ("duplicates", f"{found['duplicates']:,}"),
        ("tokens", f"{tokens} (vocabulary {found['vocab_size']:,})"),
        ("tokens/s", f"{found['tokens_per_second']:,.0f} on {found['world_size']} processes (median of the steps)"),
        ("MFU", mfu),
        ("loss", f"{found['first_loss']:.3f} at step 1, {found['last_loss']:.3f} at step {found['steps']} (-{drop:.3f})"),
    ]
    if found["perplexity"] is not None:
        beside = f"untrained {found['untrained_perplexity']:,.0f}, unigram {found['unigram_perplexity']:,.0f}"
        rows.append(("perplexity", f"{found['perplexity']:,.1f} on validation text ({beside})"))
    rows += [
        ("corpus", f"{corpus}  (what was kept and why: {corpus / 'report.html'})"),
        ("run", f"{run_dir}  (every step: {run_dir / 'metrics.jsonl'})"),
    ]
    return "\n".join(f"  {name:<12} {value}" for name, value in rows)


def curves(uri: str, run_dir: Path) -> str:
    """How to see the curves: the command that serves them and their address."""
    from pretrain.tracking.mirror import ui_command

    if uri == "none":
        return ""
    serve = ui_command(uri, run_dir)
    server = "http://127.0.0.1:5000" if serve else uri
    place = _place_in_tracker(run_dir) if not uri else None
    address = f"{server}/#/experiments/{place[0]}/runs/{place[1]}/model-metrics" if place else server
    first = f"  curves       {serve}\n               then open " if serve else "  curves       "
    return first + address


def _place_in_tracker(run_dir: Path) -> tuple[str, str] | None:
    """Experiment and run in the run directory's own mlflow.db; None where the mirror never got that far."""
    id_file, database = run_dir / "tracker-run-id", run_dir / "mlflow.db"
    if not id_file.is_file() or not database.is_file():
        return None
    run_id = id_file.read_text().strip()
    connection = sqlite3.connect(f"file:{database.resolve()}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT experiment_id FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
    finally:
        connection.close()
    return (str(row[0]), run_id) if row else None


def _override(key: str, path: Path) -> str:
    """`key=path`, quoted where YAML would read something else than text."""
    from configs.source import parse_value

    try:
        plain = parse_value(str(path)) == str(path)
    except ValueError:
        plain = False
    return f"{key}={path if plain else json.dumps(str(path))}"


def _heading(text: str, *command: str) -> None:
    """What comes next, and the command that does the same by itself."""
    typer.echo(f"\n== {text} ==" + (f"\ncommand: {shlex.join(['millrace', *command])}" if command else ""))


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes} min {rest} s"
