"""Sixty mistakes, each refused at the front door: before any process group exists, in a few lines, with what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from millrace import cli
from tests.pretrain.conftest import config, corpus  # noqa: F401 - fixtures


@dataclass(frozen=True)
class Mistake:
    """changes: overrides of a sound training config. hint: words of the suggestion. text: a file's text instead of it.
    command, options: given instead of `train`."""

    name: str
    changes: Sequence[str]
    hint: str
    text: str = ""
    command: str = "train"
    options: Sequence[str] = ()


WEB = "sources: [{name: web, type: jsonl, paths: [%s]}]\n"
MISTAKES = [
    # Names of keys.
    Mistake("lr under train", ["train.lr=1e-3"], "did you mean `optimizer.lr`?"),
    Mistake("bare lr", ["lr=1e-3"], "did you mean `optimizer.lr`?"),
    Mistake("bare tp", ["tp=2"], "did you mean `layout.tp`?"),
    Mistake("Megatron's tp", ["tensor-model-parallel-size=2"], "did you mean `layout.tp`?"),
    Mistake("dp as a key", ["layout.dp=2"], "data parallelism is what remains"),
    Mistake("accumulation as a key", ["train.gradient_accumulation_steps=4"], "accumulation is what remains"),
    Mistake("epochs as a key", ["train.epochs=3"], "a run is as long as `train.steps`"),
    Mistake("dropout as a key", ["model.dropout=0.1"], "there is no dropout"),
    Mistake("batch_size", ["train.batch_size=8"], "did you mean `train.global_batch`?"),
    Mistake("n_layers", ["model.n_layers=2"], "did you mean `model.num_layers`?"),
    Mistake("misspelt section", ["modle.num_layers=2"], "did you mean `model.num_layers`?"),
    Mistake("misspelt key", ["optimizer.weight_deacy=0.1"], "did you mean `optimizer.weight_decay`?"),
    Mistake("checkpoint interval", ["checkpoint.interval=10"], "did you mean `checkpoint.every`?"),
    Mistake("run.directory", ["run.directory=x"], "did you mean `run.dir`?"),
    Mistake("data.path", ["data.path=x"], "did you mean `data.dir`?"),
    Mistake("fp16 as a key", ["train.fp16=true"], "did you mean `train.precision`?"),
    Mistake("output_dir", ["output_dir=x"], "did you mean `run.dir`?"),
    Mistake("dotted key in YAML", [], "write `train: {steps: ...}`", "train.steps: 5\n"),
    # Values of a fixed set.
    Mistake("misspelt precision", ["train.precision=fp23"], "did you mean fp32?"),
    Mistake("bfloat16", ["train.precision=bfloat16"], "did you mean bf16?"),
    Mistake("float16", ["train.precision=float16"], "did you mean bf16?"),
    Mistake("swigul", ["model.activation=swigul"], "did you mean swiglu?"),
    Mistake("silu", ["model.activation=silu"], "did you mean swiglu?"),
    Mistake("rms", ["model.norm=rms"], "did you mean rmsnorm?"),
    Mistake("rotary", ["model.position=rotary"], "did you mean rope?"),
    Mistake("adam", ["optimizer.name=adam"], "did you mean adamw?"),
    Mistake("constant rate", ["schedule.name=none"], "did you mean constant?"),
    Mistake("recompute true", ["train.recompute=true"], "did you mean full?"),
    Mistake("json", [], "did you mean jsonl?", "sources: [{name: web, type: json, paths: [a]}]\n", "data run"),
    Mistake("BPE", [], "did you mean bpe?", "tokenizer: {model_type: BPE}\n", "data run"),
    # Types and units.
    Mistake("whole number as a decimal", ["train.steps=20.0"], "write 20"),
    Mistake("whole number with an exponent", ["train.steps=1e3"], "write 1000"),
    Mistake("number in quotes", ["train.steps='100'"], "write 100 without quotes"),
    Mistake("yes", ["train.deterministic=yes"], "write true"),
    Mistake("text for a rate", ["optimizer.lr=fast"], "peak learning rate"),
    Mistake("one value for a list", [], "write [en]", "clean: {languages: en}\n", "data run"),
    Mistake("a value for a section", ["optimizer=adamw"], "did you mean `optimizer.name`?"),
    Mistake("unknown unit", ["shards.target_bytes='2 gigs'"], "write 2 GB"),
    Mistake("thousands", ["train.steps=10k"], "write 10000"),
    Mistake("negative rate", ["optimizer.lr=-1"], "peak learning rate"),
    Mistake("zero 4", ["layout.zero=4"], "use at most 3"),
    Mistake("empty micro-batch", ["train.micro_batch=0"], "use at least 1"),
    Mistake("percent for a share", ["schedule.min_lr_ratio=10"], "use at most 1"),
    Mistake("time in days", ["cluster.time=1d"], "D-HH:MM:SS"),
    Mistake("weight below zero", ["data.blend={words: -1}"], "leave a source out to exclude it"),
    # Sizes and layouts.
    Mistake("tp that divides nothing", ["layout.tp=3"], "layout.tp may be 1, 2"),
    Mistake("processes that make no replica", ["layout.tp=2"], "start 2, 4", options=["--procs", "3"]),
    Mistake("ZeRO-2 in a pipeline", ["layout.pp=2", "layout.zero=2"], "layout.zero may be 0 or 1"),
    Mistake("more stages than blocks", ["layout.pp=4"], "use at most layout.pp=2"),
    Mistake("batch that does not divide", ["train.global_batch=7"], "train.global_batch may be 4, 6, 8, 10"),
    Mistake("odd width", ["model.hidden_size=33"], "model.hidden_size 30, 32, 34"),
    Mistake("more key/value heads than heads", ["model.num_kv_heads=3"], "model.num_kv_heads may be 1, 2"),
    Mistake("odd head for rope", ["model.position=rope", "model.head_dim=15"], "use 16 or 14"),
    Mistake("stop beyond the end", ["train.stop_after=100"], "use at most 12"),
    Mistake("warm-up without end", ["schedule.warmup_steps=50"], "use at most 11"),
    Mistake("too few positions", ["model.max_positions=16"], "use at most 16, or raise model.max_positions"),
    Mistake("vocabulary too small", ["model.vocab_size=200"], "use 400, or 0"),
    Mistake("window longer than the corpus", ["train.seq_length=1000000"], "lower train.seq_length to at most"),
    Mistake("nothing left to train on", [], "their sum must be below 1",
            WEB % "a.jsonl" + "split: {validation: 0.6, test: 0.5}\n", "data run"),
    Mistake("vocabulary below SentencePiece's", [], "use at least 300", "tokenizer: {vocab_size: 100}\n", "data run"),
    Mistake("coverage below SentencePiece's", [], "use at least 0.98", "tokenizer: {character_coverage: 0.9}\n", "data run"),
    # What is not there.
    Mistake("no corpus", ["data.dir=nowhere"], "millrace data run CONFIG data.dir=nowhere"),
    Mistake("unknown source in the blend", ["data.blend={wrods: 1}"], "did you mean 'words'?"),
    Mistake("no input file", [], "wiki.jsonl", WEB % "wki.jsonl", "data run"),
    Mistake("no tokenizer", [], "names a SentencePiece model file", WEB % "a.jsonl" + "tokenizer: {model: x}\n", "data run"),
    Mistake("two sources of one name", [], "give each a name of its own",
            "sources: [{name: a, type: jsonl, paths: [a.jsonl]}, {name: a, type: jsonl, paths: [c.jsonl]}]\n", "data run"),
    Mistake("a file where the run should be", ["run.dir=a.jsonl/run"], "choose another directory"),
    Mistake("misspelt preset", [], "did you mean gpt-demo", command="train gpt-dmeo"),
    Mistake("misspelt file", [], "did you mean tiny.yaml", command="train tiny.yml"),
    Mistake("misspelt include", [], "did you mean gpt-demo", "include: [model/gpt-dmo]\n"),
    Mistake("no model", [], "include a model preset", "train: {steps: 5}\n"),
    Mistake("unset variable", ["tracking.uri='${env:NO_SUCH}'"], "export NO_SUCH=..."),
    Mistake("variable of the shell", ["tracking.uri='${HOME}/x'"], "write ${env:HOME}"),
    Mistake("no checkpoint", [], "train it first", command="generate empty"),
    # Writing.
    Mistake("override without a value", ["train.steps"], "write key=value"),
    Mistake("override as an option", [], "write train.steps=VALUE", options=["--train.steps=5"]),
    Mistake("override with a colon", ["train.steps:5"], "write train.steps=5"),
    Mistake("key given twice", [], "the first is on line 1; keep one", "train: {steps: 5}\ntrain: {seed: 1}\n"),
    Mistake("a tab", [], "indent with spaces", "train:\n\tsteps: 5\n"),
    Mistake("no space after a colon", [], "write `steps: 5`", "train:\n  steps:5\n"),
    Mistake("misspelt option", [], "--procs", options=["--proc", "2"]),
    Mistake("misspelt command", [], "train", command="trian tiny.yaml"),
    Mistake("unknown key to allow", [], "did you mean `optimizer.lr`?", options=["--allow", "lr"]),
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("a", "c", "wiki"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_refused_in_a_few_lines_with_what_to_do(
    here: Path, mistake: Mistake, capsys: pytest.CaptureFixture[str]
) -> None:
    file = "tiny.yaml"
    if mistake.text:
        file = "mine.yaml"
        (here / file).write_text(mistake.text)
    named = [] if mistake.command not in ("train", "data run") else [file]
    before = {path.name for path in here.iterdir()}
    status = cli._status([*mistake.command.split(), *named, *mistake.changes, *mistake.options])
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert status == 2, told
    assert lines[0].startswith("error: ") and "Traceback" not in told.err and told.out == ""
    assert mistake.hint in " ".join(line.strip() for line in lines if not line.startswith("  --> ")), told.err
    assert len(lines) <= 8, told.err
    assert {path.name for path in here.iterdir()} == before, "nothing was begun"


def test_there_are_enough_mistakes_to_learn_from() -> None:
    assert len(MISTAKES) >= 50 and len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)


def test_mistakes_made_together_are_told_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["lr=1e-3", "train.steps=1e3", "model.position=rotary", "train.steps:5"]
    assert cli._status(["train", "tiny.yaml", *changes]) == 2
    told = capsys.readouterr().err
    for hint in ("`optimizer.lr`", "write 1000", "did you mean rope?", "write train.steps=5"):
        assert hint in told
    assert told.count("error: ") == 4


def test_a_refusal_needs_no_torch(here: Path) -> None:
    """So nothing of a process group can have existed."""
    program = (
        "import sys\nfrom millrace import cli\n"
        "statuses = [cli._status(['train', 'tiny.yaml', change]) for change in ('layout.tp=3', 'data.dir=nowhere')]\n"
        "print(statuses, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout == "[2, 2] False\n"
