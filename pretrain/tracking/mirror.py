"""A copy of the metrics in MLflow, kept by a thread of its own: whatever the tracker does, training does not wait.

Points go to a bounded queue; the thread sends them every few seconds, tries again when the tracker fails, and counts
what it could not send. Nothing here raises into training, and nothing is lost: metrics.jsonl holds every point.
MLflow is imported by the thread, so a process without a mirror, or without MLflow, never pays for it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 60.0
CAPACITY = 200_000
BATCH = 1000  # the most that MLflow takes in one log_batch
PARAMETERS_PER_BATCH = 100
LONGEST_VALUE = 5000

GROUPS = {
    "loss": "train/loss",
    "grad_norm": "train/grad_norm",
    "lr": "train/lr",
    "tokens": "train/tokens",
    "consumed": "train/consumed",
    "tokens_per_second": "perf/tokens_per_second",
    "tflops_per_device": "perf/tflops_per_device",
    "mfu": "perf/mfu",
    "mfu_causal": "perf/mfu_causal",
    "mfu_6n": "perf/mfu_6n",
    "step_seconds": "perf/step_seconds",
    "data_wait_seconds": "data/wait_seconds",
    "unigram_loss": "eval/unigram_loss",
    "unigram_perplexity": "eval/unigram_perplexity",
}
PREFIXES = ("eval", "checkpoint", "goodput", "data", "perf")

# Short, since the thread tries again by itself; a user's own settings win.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def metric_name(field: str) -> str:
    """Name in the tracker, where the part before the slash groups: loss -> train/loss, eval_loss -> eval/loss."""
    if "/" in field:
        return field
    prefix, _, rest = field.partition("_")
    if field not in GROUPS and prefix in PREFIXES and rest:
        return f"{prefix}/{rest}"
    return GROUPS.get(field, f"train/{field}")


def cut_userinfo(text: str) -> str:
    """The text with `user:password@` cut from every URI in it."""
    return re.sub(r"(?<=://)[^/\s'\"]*@", "", text)


def store_uri(uri: str, run_dir: Path) -> str:
    """The URI that MLflow is given: an empty one means mlflow.db in the run directory."""
    return uri or f"sqlite:///{Path(run_dir).resolve() / 'mlflow.db'}"


def ui_command(uri: str, run_dir: Path, port: int = 5000) -> str:
    """The command that serves the curves of a local store; "" when the URI is a server that already does."""
    if uri.startswith(("http://", "https://")):
        return ""
    return f"mlflow ui --backend-store-uri {cut_userinfo(store_uri(uri, run_dir))} --host 127.0.0.1 --port {port}"


@dataclass(frozen=True)
class MirrorReport:
    """What became of the points: sent; pending (not taken by the tracker); dropped (queue full, or refused as invalid).

    errors: failed attempts. last_error: the latest one, without credentials. artifacts_pending: files not uploaded.
    """

    sent: int
    pending: int
    dropped: int
    errors: int
    last_error: str = ""
    artifacts_pending: int = 0

    def __str__(self) -> str:
        text = f"{self.sent} points in the tracker"
        if self.pending or self.dropped or self.artifacts_pending:
            missing = [(self.pending, "points not sent"), (self.dropped, "points dropped")]
            missing.append((self.artifacts_pending, "files not uploaded"))
            text += ", " + ", ".join(f"{n} {what}" for n, what in missing if n) + "; metrics.jsonl holds every point"
        if self.errors:
            text += f" ({self.errors} failed attempts, the last: {self.last_error})"
        return text


class Mirror:
    """Made by `open_mirror`. `log`, `artifact` return at once and never raise.

    run_id, experiment_id: MLflow's, None until the tracker has answered.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        run_name: str,
        run_dir: Path,
        run_id: str | None,
        parameters: Mapping[str, Any],
        tags: Mapping[str, Any],
        flush_seconds: float = FLUSH_SECONDS,
        capacity: int = CAPACITY,
    ) -> None:
        self.enabled = uri != "none"
        self.uri = cut_userinfo(uri) if uri else store_uri(uri, run_dir)
        self.run_id = run_id
        self.experiment_id: str | None = None
        self._uri, self._experiment, self._run_name, self._run_dir = uri, experiment, run_name, Path(run_dir)
        self._parameters = {key: _text(value) for key, value in parameters.items()}
        self._tags = {key: _text(value) for key, value in tags.items()}
        self._flush_seconds, self._capacity = flush_seconds, capacity
        self._points: deque[tuple[str, float, int, int]] = deque()  # name, value, milliseconds, step
        self._artifacts: deque[Path] = deque()
        self._wake = threading.Condition()
        self._closing: str | None = None  # the status to close the run with
        self._client: Any = None
        self._sent = self._dropped = self._errors = 0
        self._last_error = ""
        self._thread: threading.Thread | None = None
        if self.enabled:
            self._thread = threading.Thread(target=self._run, name="millrace-mirror", daemon=True)
            self._thread.start()

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Queues the numbers among `metrics` (fields of a row of metrics.jsonl) under their grouped names."""
        if not self.enabled:
            return
        now = int(time.time() * 1000)
        points = [
            (metric_name(field), float(value), now, step)
            for field, value in metrics.items()
            if field not in ("life", "step") and isinstance(value, (int, float)) and not isinstance(value, bool)
        ]
        with self._wake:
            if self._closing is not None or len(self._points) + len(points) > self._capacity:
                self._dropped += len(points)
            else:
                self._points.extend(points)

    def artifact(self, path: Path) -> None:
        """Queues a file, or a directory with all in it, to be uploaded as it is when its turn comes."""
        if self.enabled:
            with self._wake:
                self._artifacts.append(Path(path))

    def close(self, timeout: float = 60.0, status: str = "FINISHED") -> MirrorReport:
        """Sends what is queued, ends the run with `status`, waits at most `timeout` seconds, says what is missing."""
        with self._wake:
            self._closing = self._closing or status
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        with self._wake:
            return MirrorReport(
                self._sent, len(self._points), self._dropped, self._errors, self._last_error, len(self._artifacts)
            )

    def address(self, base: str = "http://127.0.0.1:5000") -> str:
        """Where the curves are shown; `base` where `mlflow ui` serves, unless the tracker is a server itself."""
        if self.run_id is None or self.experiment_id is None:
            return ""
        server = self.uri if self.uri.startswith(("http://", "https://")) else base
        return f"{server.rstrip('/')}/#/experiments/{self.experiment_id}/runs/{self.run_id}/model-metrics"

    def _run(self) -> None:
        pause = self._flush_seconds
        while True:
            with self._wake:
                closing = self._closing
            try:
                if self._client is None:
                    self._client = self._connect()
                self._send_points()
                if closing:
                    self._client.set_terminated(self.run_id, status=closing)
                self._send_artifacts()
                pause = self._flush_seconds
            except Exception as error:  # whatever a tracker can raise must not reach training
                self._count_error(f"{type(error).__name__}: {error}")
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            if closing:
                return
            with self._wake:
                self._wake.wait_for(lambda: self._closing is not None, timeout=pause)

    def _count_error(self, message: str) -> None:
        with self._wake:
            self._errors += 1
            self._last_error = cut_userinfo(message).split("\n")[0][:500]

    def _connect(self) -> Any:
        """A client, with the run found or made and its parameters and tags set."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each retry, to the terminal
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag
        from mlflow.exceptions import MlflowException

        for name in ("mlflow", "alembic"):  # they tell of every table they make
            logging.getLogger(name).setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=store_uri(self._uri, self._run_dir))
        run = None
        if self.run_id is not None:
            try:
                run = client.get_run(self.run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            if run is not None and run.info.lifecycle_stage == "active":
                client.update_run(self.run_id, status="RUNNING")
            else:  # another store, or deleted by hand: go on in a new one
                self._tags["continues_run"] = self.run_id
                run = None
        if run is None:
            run = client.create_run(self._experiment_of(client), run_name=self._run_name)
        known = run.data.params
        new = [Param(key, value) for key, value in self._parameters.items() if key not in known]
        changed = {key: value for key, value in self._parameters.items() if known.get(key, value) != value}
        tags = self._tags | {f"changed.{key}": value for key, value in changed.items()}  # parameters are write-once
        for i in range(0, len(new), PARAMETERS_PER_BATCH):
            client.log_batch(run.info.run_id, params=new[i : i + PARAMETERS_PER_BATCH])
        items = [RunTag(key, value) for key, value in tags.items()]
        for i in range(0, len(items), PARAMETERS_PER_BATCH):
            client.log_batch(run.info.run_id, tags=items[i : i + PARAMETERS_PER_BATCH])
        self.run_id, self.experiment_id = run.info.run_id, run.info.experiment_id
        return client

    def _experiment_of(self, client: Any) -> str:
        found = client.get_experiment_by_name(self._experiment)
        if found is not None:
            return found.experiment_id
        location = None if self._uri else (self._run_dir.resolve() / "mlartifacts").as_uri()
        # Without the tag the page of a run opens in the view made for language model applications.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(self._experiment, artifact_location=location, tags=kind)

    def _send_points(self) -> None:
        """All points, oldest first; what fails stays queued. Sending a point twice is harmless to MLflow."""
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        while True:
            with self._wake:
                batch = [self._points[i] for i in range(min(BATCH, len(self._points)))]
            if not batch:
                break
            taken = True
            try:
                self._client.log_batch(self.run_id, metrics=[Metric(*point) for point in batch])
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                taken = False  # and sending it again would not help
                self._count_error(str(error))
            with self._wake:
                for _ in batch:
                    self._points.popleft()
                if taken:
                    self._sent += len(batch)
                else:
                    self._dropped += len(batch)

    def _send_artifacts(self) -> None:
        while self._artifacts:
            path = self._artifacts[0]
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), artifact_path=path.name)
            elif path.exists():
                self._client.log_artifact(self.run_id, str(path))
            else:
                self._count_error(f"no such file to upload: {path}")
            with self._wake:
                self._artifacts.popleft()


def open_mirror(
    uri: str,
    experiment: str,
    run_name: str,
    run_dir: Path,
    run_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> Mirror:
    """Starts the mirror of a run; returns at once and never raises.

    uri: MLflow's tracking URI; "" is mlflow.db in the run directory (files under mlartifacts/ beside it), "none" no
    mirror at all. run_id: of an earlier life, to go on in; one that the tracker does not know is replaced by a new run.
    parameters: flat, such as the configuration by dotted key. Credentials in URIs are used, but kept nowhere.
    """
    return Mirror(uri, experiment, run_name, run_dir, run_id, parameters or {}, tags or {})


def _text(value: Any) -> str:
    """A parameter's or tag's value as MLflow stores it, credentials cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = cut_userinfo(text)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."
