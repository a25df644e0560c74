"""Units in workers: same results for any number of them, no orphans, and a name for what went wrong."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs.errors import MachineError, UserError
from data_pipeline.pool import run_units
from data_pipeline.progress import Progress
from tests.data_pipeline import jobs
from tests.data_pipeline.jobs import Task

REPOSITORY = Path(__file__).parents[2]


def run(tasks, function, workers, finished=lambda task: None, report=None):
    return run_units("phase", tasks, function, workers, finished, lambda t: t.size, report or Progress(quiet=True))


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_jobs(tmp_path, workers):
    rng = random.Random(workers)
    tasks = [Task(f"{n:02d}", tmp_path, rng.randint(0, 1000)) for n in range(20)]
    expected = [{"name": task.name, "square": task.size**2} for task in tasks]
    assert run(tasks, jobs.write, workers) == expected


def test_no_jobs_are_no_work():
    assert run([], jobs.write, 2) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_finished_units_are_not_done_again_and_that_is_said(tmp_path, workers):
    tasks = [Task(f"{n}", tmp_path) for n in range(6)]
    run(tasks[:4], jobs.write, 1)
    said = io.StringIO()
    results = run(tasks, jobs.write, workers, jobs.finished, Progress(said))
    assert [result["name"] for result in results] == [task.name for task in tasks]
    assert [task.name for task in tasks if (tmp_path / task.name).read_text() != "x"] == []
    assert "phase: 4 of 6 units are finished already, 2 to do" in said.getvalue()
    assert "phase: done, 200 B" in said.getvalue()


def test_a_bar_ends_at_the_announced_size_whatever_a_job_tells(tmp_path):
    said = io.StringIO()
    run([Task("a", tmp_path, 10), Task("b", tmp_path, 1001)], jobs.write, 2, report=Progress(said))
    assert "phase: done, 1.0 kB" in said.getvalue()


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_arrive_as_they_were_raised(tmp_path, workers):
    tasks = [Task("fine", tmp_path, 1), Task("fine too", tmp_path, 1)]
    with pytest.raises(UserError) as user:
        run([*tasks, Task("user", tmp_path)], jobs.fail, workers)
    assert [(p.what, p.where, p.hint) for p in user.value.problems] == [("one", "here", "so"), ("two", "", "")]
    with pytest.raises(MachineError) as machine:
        run([*tasks, Task("machine", tmp_path)], jobs.fail, workers)
    assert vars(machine.value) == {"what": "what", "where": "where", "saved": "saved", "go_on": "go on"}
    with pytest.raises(MachineError, match=r"ZeroDivisionError.*oh") as other:
        run([*tasks, Task("other", tmp_path)], jobs.fail, workers)
    assert other.value.where == "task other"
    assert "jobs.py" in other.value.__notes__[0]


@pytest.mark.parametrize(("name", "how"), [("killed", "killed by SIGKILL"), ("left", "ended with status 7")])
def test_a_worker_that_dies_names_its_unit(tmp_path, name, how):
    tasks = [Task("a", tmp_path), Task(name, tmp_path), Task("b", tmp_path)]
    with pytest.raises(MachineError, match=how) as caught:
        run(tasks, jobs.die, 2)
    assert caught.value.where == f"task {name}"


def test_workers_import_no_torch_and_not_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    (tmp_path / "configs.py").write_text("raise SystemExit('shadowed')")
    script = (
        "import json, sys\n"
        "from data_pipeline.pool import run_units\n"
        "from data_pipeline.progress import Progress\n"
        "from tests.data_pipeline import jobs\n"
        "tasks = [jobs.Task('a', None), jobs.Task('b', None)]\n"
        "if __name__ == '__main__':\n"
        "    print(json.dumps(run_units('p', tasks, jobs.imported, 2, lambda t: None, lambda t: 1, Progress())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    import json

    for result in json.loads(done.stdout):
        assert {"configs", "data_pipeline.documents_stage", "pyarrow"} <= set(result["modules"])
        assert not {"torch", "deepspeed", "mlflow", "transformers", "datasets"} & set(result["modules"])
        assert "" not in result["path"] and str(tmp_path) not in result["path"]


HANGING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
import sys
from pathlib import Path
from data_pipeline.pool import run_units
from data_pipeline.progress import Progress
from tests.data_pipeline.jobs import Task, hang
if __name__ == "__main__":
    tasks = [Task(str(n), Path(sys.argv[1])) for n in range(2)]
    try:
        run_units("p", tasks, hang, 2, lambda t: None, lambda t: 1, Progress())
    except KeyboardInterrupt:
        sys.exit(130)
"""


def alive(process):
    """A zombie that nobody waits for counts as dead."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_no_worker_and_no_file_outlives_its_parent(tmp_path, tmp_path_factory, sent, status):
    script = tmp_path / "hanging.py"
    script.write_text(HANGING)
    temporary = tmp_path_factory.mktemp("t")  # a short path: a socket lies there
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path], stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)},
    )  # fmt: skip
    while len(pids := [int(path.read_text() or 0) for path in tmp_path.glob("*.pid")]) < 2 or not all(pids):
        assert parent.poll() is None
        time.sleep(0.05)
    assert all(map(alive, pids)) and [*temporary.iterdir()]
    parent.send_signal(sent)
    assert parent.wait(timeout=60) == status
    until = time.monotonic() + 60
    while (any(map(alive, pids)) or [*temporary.iterdir()]) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids)) and not [*temporary.iterdir()]
    assert b"Traceback" not in parent.stderr.read()
