"""The training loop: read, step, write the row; evaluate and save when due. Everything that lasts is in the run directory.

The state of training is (weights, optimizer state, step, consumed samples): learning rate, data order and blend are
functions of it, so a resumed life repeats what an undisturbed one would have done.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from configs.errors import Problem, UserError
from configs.loader import Loaded
from data_pipeline.shards import load_manifest
from pretrain import resume
from pretrain.checkpoint.directory import remove_leftovers
from pretrain.checkpoint.read import CheckpointReader
from pretrain.checkpoint.restore import restore
from pretrain.checkpoint.write import CheckpointWriter
from pretrain.data.batches import BatchReader
from pretrain.data.stream import SampleStream
from pretrain.evaluate import Validation
from pretrain.optimizer import learning_rate
from pretrain.parallel.build import build_engine
from pretrain.parallel.compile import counts
from pretrain.parallel.layout import resolve
from pretrain.parallel.runtime import Ranks, be_deterministic, device
from pretrain.record import Recorder
from pretrain.throughput import Meter


@dataclass
class State:
    """What a checkpoint holds beside weights and optimizer state. step: updates done. consumed: samples read."""

    step: int = 0
    consumed: int = 0


class Trainer:
    """One life of a run on this rank."""

    def __init__(self, loaded: Loaded, run_dir: Path, ranks: Ranks, start: resume.Start) -> None:
        self.config, self.run_dir, self.ranks, self.start = loaded.config, run_dir, ranks, start
        self.config_tree = loaded.to_dict()
        config = self.config
        assert config.model is not None
        self.corpus = Path(config.data.dir)
        self.state = State()
        reader = CheckpointReader(start.checkpoint.path) if start.checkpoint else None
        self.stream = SampleStream(self.corpus, "train", config.train.seq_length, config.train.seed, config.data.blend)
        manifest = load_manifest(self.corpus)
        self.layout = resolve(config, ranks.world_size, manifest.vocab_size)
        if reader:
            self._check_corpus(reader.state["corpus_id"], start.checkpoint)
            self.state = State(reader.step, reader.state["consumed"])
        if config.train.deterministic:
            be_deterministic()
        self.engine = build_engine(config, manifest.vocab_size, self.layout, ranks, device())
        if reader:
            restore(self.engine, reader)
        self.validation = self._validation()
        self.meter = Meter(
            config.model, self.engine.shape.vocab_size, config.train, ranks.world_size, self.engine.device
        )
        self.recorder = Recorder(loaded, run_dir, start, self.layout, self.stream, self.meter, ranks.rank == 0)
        if self.validation is None:
            self.recorder.say("no evaluation: the corpus has no validation split")
        for name, reason in (self.validation.left_out if self.validation else {}).items():
            self.recorder.say(f"validation {name}: left out ({reason})")
        checkpoint = config.checkpoint
        self.checkpoints = CheckpointWriter(
            self.engine, run_dir, start.life, checkpoint.asynchronous, self.recorder.checkpoint
        )
        if ranks.rank == 0:
            for path in remove_leftovers(run_dir, start.life):
                self.recorder.say(f"removed {path}: an earlier life died while writing it")
            shutil.copyfile(self.corpus / manifest.tokenizer_path, run_dir / "tokenizer.model")

    def _check_corpus(self, saved: str, where: Any) -> None:
        if saved != self.stream.corpus_id:
            raise UserError(Problem(
                f"the run was trained on corpus {saved}, but {self.corpus} holds corpus {self.stream.corpus_id}",
                str(where.path), "point data.dir at the corpus of the run, or choose another run.dir"))  # fmt: skip

    def _validation(self) -> Validation | None:
        if not load_manifest(self.corpus).splits.get("validation"):
            return None
        return Validation(self.config, self.engine)

    @property
    def last_step(self) -> int:
        """The step at which this life ends."""
        return self.config.train.stop_after or self.config.train.steps

    def run(self) -> None:
        """Trains to the last step of this life, evaluates, saves and closes what was opened."""
        train = self.config.train
        batches = BatchReader(
            self.stream,
            train.global_batch,
            train.micro_batch,
            self.ranks.dp_rank,
            self.layout.dp,
            self.config.data.prefetch,
        )
        status = "FAILED"
        try:
            if self.state.step == 0:
                self.evaluate(baseline=True)
            while self.state.step < self.last_step:
                self.step(batches)
                self.checkpoints.poll()
                if self._due(self.config.eval.every):
                    self.evaluate()
                if self._due(self.config.checkpoint.every):
                    self.save()
            self.checkpoints.finish()
            status = "FINISHED"
        finally:
            self.checkpoints.close()
            batches.close()
            self.recorder.close(status)

    def _due(self, every: int) -> bool:
        return self.state.step == self.last_step or (every > 0 and self.state.step % every == 0)

    def step(self, batches: BatchReader) -> None:
        """One update and its row."""
        train, optimizer = self.config.train, self.config.optimizer
        compiled = counts() if train.compile else (0, 0)
        started, waited = time.monotonic(), batches.wait_seconds
        batch = torch.from_numpy(batches.read(self.state.consumed))
        number = self.state.step + 1
        rate = learning_rate(number, optimizer.lr, self.config.schedule, train.steps)
        result = self.engine.step(batch, rate)
        self.state = State(number, self.state.consumed + train.global_batch)
        seconds = time.monotonic() - started
        compiling = self._compiling(compiled, number, seconds) if train.compile else {}
        if number % self.config.tracking.every == 0 or number == self.last_step:
            self.recorder.step(
                number,
                self.last_step,
                loss=result.loss,
                grad_norm=result.grad_norm,
                lr=rate,
                tokens=self.state.consumed * train.seq_length,
                consumed=self.state.consumed,
                step_seconds=seconds,
                data_wait_seconds=batches.wait_seconds - waited,
                **self.meter.rates(seconds),
                **compiling,
            )

    def _compiling(self, before: tuple[int, int], number: int, seconds: float) -> dict[str, float]:
        """What the step compiled, said and as a field of its row; nothing where it compiled nothing. Rates of a step
        that did are not those of training."""
        graphs, breaks = (now - then for now, then in zip(counts(), before, strict=True))
        if not graphs and number > self.start.step + 1:
            return {}
        self.recorder.say(f"step {number:>6}  its {seconds:.1f} s include compilation (graphs {graphs}, "
                          f"breaks {breaks})")  # fmt: skip
        return {"compiled_graphs": graphs}

    def evaluate(self, baseline: bool = False) -> None:
        """A row with validation loss and perplexity; with those of a unigram model beside them when `baseline`."""
        if self.validation is None:
            return
        found = self.validation.run()
        values: dict[str, Any] = {
            "eval_loss": found.loss,
            "eval_perplexity": found.perplexity,
            "eval_tokens": found.tokens,
        }
        if baseline and self.ranks.rank == 0:
            unigram = self.validation.unigram()
            values |= {"unigram_loss": unigram.loss, "unigram_perplexity": unigram.perplexity}
        self.recorder.evaluation(self.state.step, **values)

    def save(self) -> None:
        """Begins to write a checkpoint of the state after the current step."""
        state = {
            "consumed": self.state.consumed,
            "skipped_windows": [],
            "rng": {"kind": "keyed by (seed, name, tile) and (seed, sample); no state", "seed": self.config.train.seed},
            "schedule": {"step": self.state.step, "steps": self.config.train.steps},
            "corpus_id": self.stream.corpus_id,
            "vocab_size": self.engine.shape.vocab_size,
            "positions": self.engine.shape.positions,
            "layout": self.layout.as_dict(),
            "config": self.config_tree,
            "tracker_run_id": self.recorder.tracker_run_id,
        }
        self.checkpoints.save(self.state.step, state)
