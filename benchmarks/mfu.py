"""`millrace bench mfu`: what share of the hardware's FLOPs the real training loop uses, on synthetic tokens.

Each configuration is trained for a few steps in a temporary directory, by the same launcher, ranks and loop as `millrace
train`. The figures are medians over the steps after the warm-up, read from the run's own metrics.jsonl.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.results import Result
from configs.errors import UserError
from configs.loader import Loaded, load

MAX_CORPUS_TOKENS = 4_000_000
DOCUMENT_TOKENS = 1000
DEFAULT_VOCABULARY = 50_257  # GPT-2's, where neither the configuration nor its tokenizer says otherwise

COMPILED = "compiled_graphs"  # in rows of steps that compiled something

COLUMNS = {
    "tokens_per_second": "tokens/s",
    "step_seconds": "s",
    "tflops_per_device": "TFLOP/s",
    "mfu": "fraction",
    "mfu_causal": "fraction",
    "mfu_6n": "fraction",
}
"""What is measured, as metrics.jsonl calls it, and its unit."""


@dataclass(frozen=True)
class Measurement:
    """One configuration, measured. values: median of each of COLUMNS that the run reported (no MFU without a peak).

    label: the conditions. peak: what MFU is a share of. steps: how many the medians are of. cpu_seconds: of all ranks,
    start-up included.
    """

    config: str
    label: str
    peak: str
    steps: int
    cpu_seconds: float
    values: dict[str, float] = field(default_factory=dict)

    def results(self) -> list[Result]:
        """One row for each value; the name carries the conditions."""
        return [
            Result(f"{self.config} {name} ({self.label})", self.values[name], unit, self.cpu_seconds)
            for name, unit in COLUMNS.items()
            if name in self.values
        ]


def measure(
    config: str, overrides: Sequence[str] = (), seq_length: int = 0, steps: int = 12, warmup: int = 3, procs: int = 0
) -> Measurement:
    """Trains `config` for `steps` steps and takes the medians of those after the first `warmup`.

    seq_length, procs: 0 means what the configuration says. Progress goes to stderr. Raises UserError, MachineError.
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"a warm-up of {warmup} steps leaves none of {steps} to measure")
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        directory = Path(name)
        loaded = _loaded(config, overrides, seq_length, steps, directory)
        world_size = procs or loaded.config.layout.tp * loaded.config.layout.pp
        vocabulary = _vocabulary(loaded)
        _write_corpus(directory / "corpus", loaded, vocabulary, steps)
        before = _children_cpu_seconds()
        _train(loaded, world_size)
        cpu_seconds = _children_cpu_seconds() - before
        return _read(config, loaded, world_size, vocabulary, directory / "run", warmup, cpu_seconds)


def table(measurements: Sequence[Measurement]) -> str:
    """The measurements for people, and what each percentage is of."""
    header = ["config", "conditions", "tokens/s", "step ms", "TFLOP/s", "MFU", "MFU causal", "MFU 6N"]
    rows = [header]
    for m in measurements:
        shares = [f"{100 * m.values[n]:.1f} %" if n in m.values else "-" for n in ("mfu", "mfu_causal", "mfu_6n")]
        rows.append(
            [
                m.config,
                m.label,
                f"{m.values['tokens_per_second']:,.0f}",
                f"{1000 * m.values['step_seconds']:,.1f}",
                f"{m.values['tflops_per_device']:.3g}",
                *shares,
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines.append("")
    lines.append(
        "TFLOP/s is per device. Model FLOPs, recompute never counted: MFU = matmuls + full attention, causal = half"
    )
    lines.append(
        "the attention, 6N = weights alone. batch: global/micro. Medians of the steps after the warm-up. Peaks:"
    )
    lines += [f"  {m.config}: {m.peak}, median of {m.steps} steps" for m in measurements]
    return "\n".join(line.rstrip() for line in lines)


def _loaded(config: str, overrides: Sequence[str], seq_length: int, steps: int, directory: Path) -> Loaded:
    """The configuration with what a measurement needs laid over it; the user's overrides stay below that."""
    ours = [f"data.dir={directory / 'corpus'}", f"run.dir={directory / 'run'}", "tracking.uri=none", "tracking.every=1"]
    ours += [f"train.stop_after={steps}", "checkpoint.every=0", "eval.every=0"]
    if seq_length:
        ours.append(f"train.seq_length={seq_length}")
    loaded = load(config, [*overrides, *ours])
    if loaded.config.train.steps < steps:
        loaded = load(config, [*overrides, *ours, f"train.steps={steps}"])
    if loaded.config.model is None:
        raise UserError(f"{config} has no `model` to train")
    return loaded


def _vocabulary(loaded: Loaded) -> int:
    model = loaded.config.model
    if model is not None and model.vocab_size:
        return model.vocab_size
    given = loaded.origins.get("tokenizer.vocab_size", "default") != "default"
    return loaded.config.tokenizer.vocab_size if given else DEFAULT_VOCABULARY


def _write_corpus(directory: Path, loaded: Loaded, vocabulary: int, steps: int) -> None:
    """Uniformly random tokens, for as many samples as the run reads or MAX_CORPUS_TOKENS, in the sources of the blend."""
    from data_pipeline.shards.manifest import Manifest, shard_path, write_manifest
    from data_pipeline.shards.writer import ShardWriter

    train = loaded.config.train
    end, tokenizer = 0, "tokenizer/tokenizer.model"
    window = train.seq_length + 1
    wanted = max(window, min(steps * train.global_batch * train.seq_length + 1, MAX_CORPUS_TOKENS))
    rng = np.random.default_rng(0)
    entries = []
    for source in loaded.config.data.blend or ["synthetic"]:
        with ShardWriter(
            directory / shard_path(source, "train", 0), source, "train", vocabulary, end, "none"
        ) as writer:
            for _ in range(-(-wanted // DOCUMENT_TOKENS)):
                writer.append(rng.bytes(16), "", rng.integers(1, vocabulary, DOCUMENT_TOKENS - 1))
            entries.append(writer.close())
    write_manifest(directory, Manifest({"train": entries}, vocabulary, end, tokenizer, "none"))
    (directory / "tokenizer").mkdir()
    (directory / tokenizer).write_text("synthetic tokens: they stand for no text\n")  # a run keeps a copy of this file


def _train(loaded: Loaded, world_size: int) -> None:
    from pretrain import check
    from pretrain.local import train_here

    if found := check.problems(loaded, world_size):
        raise UserError(*found)
    with contextlib.redirect_stdout(sys.stderr):
        train_here(loaded, world_size, [], False)


def _read(
    config: str, loaded: Loaded, world_size: int, vocabulary: int, run_dir: Path, warmup: int, cpu_seconds: float
) -> Measurement:
    from pretrain.tracking.metrics import read_metrics

    rows = read_metrics(run_dir)
    start: dict[str, Any] = next(row for row in rows if row.get("event") == "start")
    # Compilation belongs to the warm-up, however late it happens.
    steps = [row for row in rows if row.get("step", 0) > warmup and "step_seconds" in row and not row.get(COMPILED)]
    if not steps:
        raise UserError(f"every step after a warm-up of {warmup} compiled something: measure more of them (--steps)")
    values = {name: median(row[name] for row in steps) for name in COLUMNS if name in steps[0]}
    layout = {name: degree for name, degree in start["layout"].items() if isinstance(degree, int)}
    parts = [f"{name}{layout[name]}" for name in ("tp", "pp", "dp", "zero") if name in layout]
    train = loaded.config.train
    parts += [train.precision, f"seq{train.seq_length}", f"batch{train.global_batch}/{train.micro_batch}"]
    parts += [f"vocab{vocabulary}", f"procs{world_size}", *(["compiled"] if train.compile else [])]
    label = " ".join(parts)
    flops = start["peak"]["flops_per_device"]
    peak = start["peak"]["name"] + (f", {flops / 1e12:.3g} TFLOP/s each" if flops else "")
    return Measurement(Path(config).stem, label, peak, len(steps), cpu_seconds, values)


def _children_cpu_seconds() -> float:
    """Processor time of the processes that this one has started and outlived."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
