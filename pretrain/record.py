"""What a life tells: rows of metrics.jsonl, their mirror in the tracker, and lines for whoever watches. Rank 0 only."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

from configs.loader import Loaded
from configs.source import flatten
from pretrain.checkpoint.write import Saved
from pretrain.data.stream import SampleStream
from pretrain.parallel.layout import Layout
from pretrain.provenance import git_commit
from pretrain.resume import Start
from pretrain.throughput import Meter
from pretrain.tracking.metrics import MetricsLog
from pretrain.tracking.mirror import Mirror, open_mirror

LINE_SECONDS = 5.0
TRACKER_RUN_ID = "tracker-run-id"


def duration(seconds: float) -> str:
    """`75` -> `1m15s`; hours and minutes above an hour."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


class Recorder:
    """Writes what happens in a life. On ranks other than 0 every call does nothing."""

    def __init__(
        self,
        loaded: Loaded,
        run_dir: Path,
        start: Start,
        layout: Layout,
        stream: SampleStream,
        meter: Meter,
        writes: bool,
    ) -> None:
        self.run_dir, self.writes = run_dir, writes
        self.mirror: Mirror | None = None
        self._last_line = 0.0
        self._began, self._first_step = time.monotonic(), start.step
        if not writes:
            return
        commit = git_commit()
        facts = {
            "layout": layout.as_dict(),
            "world_size": layout.world_size,
            "compile": loaded.config.train.compile,
            "host": platform.node(),
            "commit": commit,
            "corpus_id": stream.corpus_id,
            "peak": {"name": meter.peak_name, "flops_per_device": meter.peak_flops},
            "data": stream.describe(),
        }
        self.log = MetricsLog(run_dir)
        self.log.start(start.life, start.step, **facts)
        tracking = loaded.config.tracking
        if tracking.uri != "none":
            self.mirror = open_mirror(
                tracking.uri,
                tracking.experiment,
                loaded.config.run.name or run_dir.resolve().name,
                run_dir,
                self.tracker_run_id,
                flatten(loaded.to_dict()),
                {
                    "git_commit": commit,
                    "layout": layout.describe(),
                    "host": platform.node(),
                    "corpus_id": stream.corpus_id,
                },
            )
            self.mirror.artifact(run_dir / "config.yaml")
            report = Path(loaded.config.data.dir) / "report.html"
            if report.is_file():
                self.mirror.artifact(report)
        self.say(f"life {start.life}: {layout.describe()}; {layout.world_size} processes; peak: {meter.peak_name}"
                 + (f" {meter.peak_flops / 1e12:.3g} TFLOP/s each" if meter.peak_flops else ""))  # fmt: skip
        if start.checkpoint:
            self.say(f"resumed from {start.checkpoint.path}: step {start.step}")
        for line in stream.lines():
            self.say(f"data {line}")

    @property
    def tracker_run_id(self) -> str | None:
        """The run in the tracker that this run directory belongs to, once it is known."""
        if self.mirror is not None and self.mirror.run_id:
            return self.mirror.run_id
        path = self.run_dir / TRACKER_RUN_ID
        return path.read_text().strip() if path.is_file() else None

    def say(self, text: str) -> None:
        """A line to whoever watches."""
        if self.writes:
            print(text, flush=True, file=sys.stdout)

    def step(self, step: int, last: int, **values: float) -> None:
        """A row of one update; a line about it at the first, the last and every few seconds between."""
        if not self.writes:
            return
        self.log.row(step, **values)
        if self.mirror is not None:
            self.mirror.log(step, values)
            self._keep_run_id()
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS or step == last or step == self._first_step + 1:
            self._last_line = now
            left = (now - self._began) / max(1, step - self._first_step) * (last - step)
            mfu = f"  MFU {100 * values['mfu']:.1f} %" if "mfu" in values else ""
            self.say(f"step {step:>6}/{last}  loss {values['loss']:.4f}  grad norm {values['grad_norm']:.3f}  "
                     f"lr {values['lr']:.2e}  {values['tokens_per_second']:,.0f} tokens/s{mfu}  "
                     f"left {duration(left)}")  # fmt: skip

    def _keep_run_id(self) -> None:
        """A life that dies before its first checkpoint must still be found by the next one."""
        path = self.run_dir / TRACKER_RUN_ID
        if self.mirror is not None and self.mirror.run_id and not path.exists():
            path.write_text(self.mirror.run_id + "\n")

    def evaluation(self, step: int, **values: float) -> None:
        """A row of validation figures."""
        if not self.writes:
            return
        self.log.row(step, **values)
        if self.mirror is not None:
            self.mirror.log(step, values)
        beside = f" (unigram {values['unigram_perplexity']:,.1f})" if "unigram_perplexity" in values else ""
        self.say(f"step {step:>6}  validation loss {values['eval_loss']:.4f}  "
                 f"perplexity {values['eval_perplexity']:,.1f}{beside}")  # fmt: skip

    def checkpoint(self, saved: Saved) -> None:
        """A row of a checkpoint that is complete, under its own step though later ones have been told of already."""
        if not self.writes:
            return
        values = {"checkpoint_seconds": saved.seconds, "checkpoint_stall_seconds": saved.stall_seconds}
        self.log.row(saved.step, checkpoint=saved.path.name, **values)
        self.log.sync()
        if self.mirror is not None:
            self.mirror.log(saved.step, values)
        self.say(f"step {saved.step:>6}  saved {saved.path} in {saved.seconds:.1f} s, of which training waited "
                 f"{saved.stall_seconds:.1f} s")  # fmt: skip

    def close(self, status: str) -> None:
        """Ends the rows and waits a while for the mirror; what it could not send is said. status: FINISHED or FAILED."""
        if not self.writes:
            return
        self.log.close()
        if self.mirror is not None:
            report = self.mirror.close(60.0, status)
            self._keep_run_id()
            self.say(f"tracker: {report}")
