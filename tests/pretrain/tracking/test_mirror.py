"""The mirror copies every point to a real MLflow, and a tracker that is ill or absent never reaches the caller."""

import http.client
import os
import socket
import subprocess
import sys
import time

import pytest

from configs.source import flatten
from pretrain.tracking.mirror import Mirror, cut_userinfo, metric_name, open_mirror, ui_command


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def client():
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    return lambda uri: MlflowClient(tracking_uri=uri)


def history(client, run_id, name):
    return [(m.step, m.value) for m in sorted(client.get_metric_history(run_id, name), key=lambda m: m.step)]


def test_metrics_are_grouped_as_the_tracker_shows_them():
    assert metric_name("loss") == "train/loss"
    assert metric_name("grad_norm") == "train/grad_norm"
    assert metric_name("tokens_per_second") == "perf/tokens_per_second"
    assert metric_name("mfu_6n") == "perf/mfu_6n"
    assert metric_name("data_wait_seconds") == "data/wait_seconds"
    assert metric_name("eval_loss") == "eval/loss"
    assert metric_name("eval_perplexity") == "eval/perplexity"
    assert metric_name("unigram_loss") == "eval/unigram_loss"
    assert metric_name("checkpoint_stall_seconds") == "checkpoint/stall_seconds"
    assert metric_name("goodput/lost") == "goodput/lost"


def test_credentials_are_cut_from_every_uri():
    assert cut_userinfo("at http://ann:s3cr@t@host:5000/x, mysql+pymysql://u:p@db/m") == (
        "at http://host:5000/x, mysql+pymysql://db/m"
    )
    assert cut_userinfo("mail ann@host, http://host/a@b") == "mail ann@host, http://host/a@b"


def test_a_local_store_gets_every_point_parameter_tag_and_file_and_a_second_life_goes_on(tmp_path, client):
    (tmp_path / "config.yaml").write_text("train:\n  steps: 3\n")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("<p>fine</p>")
    many = {f"model.key_{i}": i for i in range(150)}  # more than one batch of parameters
    parameters = many | flatten({"train": {"lr": 0.1, "uri": "http://u:secret@h/"}, "data": {"blend": {}, "list": [1]}})
    mirror = open_mirror("", "mill", "wheel-1", tmp_path, None, parameters, {"git_commit": "abc", "layout": {"tp": 2}})
    for step in range(1, 1201):
        mirror.log(
            step, {"life": 1, "step": step, "loss": 1 / step, "eval_loss": 2.0, "event": "no number", "ok": True}
        )
    mirror.artifact(tmp_path / "config.yaml")
    mirror.artifact(tmp_path / "report")
    mirror.artifact(tmp_path / "never-written")
    report = mirror.close(timeout=300)
    assert (report.sent, report.pending, report.dropped, report.artifacts_pending) == (2400, 0, 0, 0)
    assert report.errors == 1 and "never-written" in report.last_error

    store = client(f"sqlite:///{tmp_path}/mlflow.db")
    run = store.get_run(mirror.run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "wheel-1"
    assert run.info.experiment_id == mirror.experiment_id
    assert run.info.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())
    assert history(store, mirror.run_id, "train/loss") == [(step, 1 / step) for step in range(1, 1201)]
    assert set(run.data.metrics) == {"train/loss", "eval/loss"}
    assert len(run.data.params) == len(parameters)
    assert run.data.params["train.lr"] == "0.1" and run.data.params["data.list"] == "[1]"
    assert run.data.params["train.uri"] == "http://h/"
    assert run.data.tags["git_commit"] == "abc" and run.data.tags["layout"] == '{"tp": 2}'
    assert {item.path for item in store.list_artifacts(mirror.run_id)} == {"config.yaml", "report"}
    assert mirror.address() == (
        f"http://127.0.0.1:5000/#/experiments/{mirror.experiment_id}/runs/{mirror.run_id}/model-metrics"
    )
    assert str(tmp_path / "mlflow.db") in ui_command("", tmp_path)

    again = open_mirror("", "mill", "wheel-1", tmp_path, mirror.run_id, parameters | {"train.lr": 0.2, "new": 1}, {})
    again.log(1201, {"loss": float("nan")})
    assert again.close(timeout=300).sent == 1
    assert again.run_id == mirror.run_id
    run = store.get_run(mirror.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.lr"] == "0.1" and run.data.tags["changed.train.lr"] == "0.2"
    assert run.data.params["new"] == "1"
    assert len(history(store, mirror.run_id, "train/loss")) == 1201

    elsewhere = open_mirror("", "mill", "wheel-2", tmp_path, "0" * 32)
    assert elsewhere.close(timeout=300, status="FAILED").errors == 0
    run = store.get_run(elsewhere.run_id)
    assert run.info.run_id != "0" * 32
    assert run.data.tags["continues_run"] == "0" * 32 and run.info.status == "FAILED"


def test_a_server_gets_the_points_and_never_the_password(tmp_path, client):
    port = free_port()
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=tmp_path, start_new_session=True
        )
    try:
        # The mirror is opened before the server answers: it has to try again by itself.
        mirror = Mirror(f"http://ann:hunter2@127.0.0.1:{port}", "mill", "wheel", tmp_path, None, {"a": 1}, {}, 0.2)
        (tmp_path / "config.yaml").write_text("train:\n  steps: 3\n")
        mirror.artifact(tmp_path / "config.yaml")
        for step in range(1, 11):
            mirror.log(step, {"loss": 0.5 * step})
        wait_for_server(server, port)
        report = mirror.close(timeout=300)
        assert (report.sent, report.pending, report.artifacts_pending) == (10, 0, 0)
        store = client(f"http://127.0.0.1:{port}")
        assert history(store, mirror.run_id, "train/loss") == [(step, 0.5 * step) for step in range(1, 11)]
        assert [item.path for item in store.list_artifacts(mirror.run_id)] == ["config.yaml"]
        assert store.get_run(mirror.run_id).info.status == "FINISHED"
        assert mirror.uri == f"http://127.0.0.1:{port}" and "hunter2" not in mirror.address() + str(report)
        assert ui_command(mirror.uri, tmp_path) == ""
    finally:
        os.killpg(server.pid, 9)
        server.wait()
    assert b"hunter2" not in (tmp_path / "server.db").read_bytes()


def wait_for_server(server, port):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
    raise AssertionError("the MLflow server did not come up")


def test_an_absent_server_costs_nothing_but_a_report(tmp_path):
    uri = f"http://ann:hunter2@127.0.0.1:{free_port()}"
    mirror = Mirror(uri, "mill", "wheel", tmp_path, None, {}, {}, flush_seconds=0.01, capacity=25)
    for step in range(10):
        mirror.log(step, {"loss": 1.0, "lr": 0.1, "mfu": 0.4})  # 3 points each: 8 rows fit
    mirror.artifact(tmp_path)
    report = mirror.close(timeout=300)
    assert (report.sent, report.pending, report.dropped, report.artifacts_pending) == (0, 24, 6, 1)
    assert report.errors >= 1
    assert "metrics.jsonl holds every point" in str(report) and "24 points not sent" in str(report)
    assert "hunter2" not in str(report)
    assert mirror.run_id is None and mirror.address() == ""


def test_a_server_that_never_answers_does_not_hold_up_closing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = open_mirror(f"http://127.0.0.1:{silent.getsockname()[1]}", "mill", "wheel", tmp_path)
        mirror.log(1, {"loss": 1.0})
        report = mirror.close(timeout=0.1)
        assert report.pending == 1
        assert mirror._thread.is_alive()  # close has not waited for it
    mirror._thread.join(300)  # the socket is shut: leave no thread behind for the next test


def test_an_unusable_uri_is_an_error_in_the_report_only(tmp_path):
    mirror = open_mirror("nonsense://x:y@z", "mill", "wheel", tmp_path)
    mirror.log(1, {"loss": 1.0})
    report = mirror.close(timeout=300)
    assert report.pending == 1 and report.errors >= 1
    assert "x:y" not in report.last_error


def test_none_means_no_mirror_and_no_mlflow(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pretrain.tracking.mirror import open_mirror\n"
        "mirror = open_mirror('none', 'e', 'r', Path(sys.argv[1])); mirror.log(1, {'loss': 1.0})\n"
        "report = mirror.close(); assert (report.sent, report.pending, report.dropped) == (0, 0, 0), report\n"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []
