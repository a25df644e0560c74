"""A checkpoint is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from pretrain.checkpoint.directory import (
    ABANDONED,
    INDEX,
    abandon_beyond,
    checkpoint_directory,
    directories,
    last_life,
    newest,
    remove_leftovers,
)
from pretrain.checkpoint.file import Cancelled, safetensors_blocks, write_file
from pretrain.checkpoint.part import Part, complete, record_name, wait_for_records, write_part
from pretrain.checkpoint.read import CheckpointReader
from tests.conftest import REPOSITORY
from tests.pretrain import kills

# What the writers ask of the file system; pathlib and tempfile go through these names.
CALLS = [(os, name) for name in ("open", "write", "fsync", "replace", "mkdir", "unlink", "listdir", "scandir")] + [
    (io, "open")
]


class NthCallFails:
    """From `n` on (the first call is 1) one call, or every call, to the file system fails with the error number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int, number: int, for_ever: bool) -> None:
        self.calls, self.lock = 0, threading.Lock()
        for module, name in CALLS:
            monkeypatch.setattr(module, name, self.failing(getattr(module, name), n, number, for_ever))

    def failing(self, call: Callable[..., Any], n: int, number: int, for_ever: bool) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            with self.lock:
                self.calls += 1
                fails = self.calls == n or (for_ever and self.calls > n)
            if fails:
                raise OSError(number, os.strerror(number))
            return call(*arguments, **named)

        return wrapper


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["disk full", "input/output error"])
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from then on"])
def test_a_failure_of_any_call_leaves_the_old_state_or_the_new_one(tmp_path: Path, number: int, for_ever: bool) -> None:
    kills.save(tmp_path, 1, life=1)
    n, failed, states = 0, True, set()
    while failed:
        n += 1
        parts = [kills.part(rank, 2) for rank in range(kills.RANKS)]
        directory = checkpoint_directory(tmp_path, 2, life=n + 1)
        with pytest.MonkeyPatch.context() as monkeypatch:
            fault = NthCallFails(monkeypatch, n, number, for_ever)
            try:
                for rank, part in enumerate(parts):
                    write_part(directory, rank, part)
                complete(directory, kills.RANKS, 2, n + 1, {"step": 2})
                failed = False
            except OSError as error:
                assert error.errno == number
        assert all((part.values == 2).all() for part in parts)
        states.add(kills.check(tmp_path, told=1))
        if not failed and fault.calls >= n:  # the removal of a record failed, which the index makes needless
            failed = True
        for file in (directory / INDEX, *directory.glob(".*")):
            file.unlink(missing_ok=True)
    assert n > 30 and states == {1, 2}
    # The same directory tree, full of leftovers, takes the next checkpoint.
    kills.save(tmp_path, 2, life=n + 2)
    assert kills.check(tmp_path, told=2) == 2
    assert remove_leftovers(tmp_path, n + 3) and len(directories(tmp_path)) == 2


def test_a_file_system_that_refuses_to_grow_a_file_is_reported_with_the_file(tmp_path: Path) -> None:
    kills.save(tmp_path, 1, life=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 1, 100, 4096, 100_000, 160_000):
        directory = checkpoint_directory(tmp_path, 2, life=2 + limit)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(OSError) as caught:
                write_part(directory, 0, kills.part(0, 2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.errno == errno.EFBIG and caught.value.filename.startswith(str(directory))
        assert kills.check(tmp_path, told=1) == 1 and not list(directory.iterdir())


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_kill_9_while_writing_leaves_the_old_state_or_the_new_one(tmp_path: Path, count: int) -> None:
    command = [sys.executable, "-m", "tests.pretrain.kills", str(tmp_path / "run"), str(count), "0"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Most kills hit a checkpoint on its way, and some came after one was complete.
    assert found["kills"] == count and found["in_mid_write"] > count / 4 and found["moved"] > count / 8, found


def test_the_files_are_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:1000]))  # the kernel may take less than all
    values = np.arange(3000, dtype=np.float32)
    write_file(tmp_path / "x.safetensors", safetensors_blocks([("b", 1), ("a/1", 2900), ("a/0", 99)], values))
    with safe_open(tmp_path / "x.safetensors", framework="numpy") as file:
        assert set(file.keys()) == {"b", "a/1", "a/0"}
        assert (file.get_tensor("a/1") == values[1:2901]).all()
        assert (file.get_slice("a/0")[5:7] == values[2906:2908]).all()


def test_the_index_waits_for_the_records_of_all_ranks_and_replaces_them(tmp_path: Path) -> None:
    directory = checkpoint_directory(tmp_path, 1, life=1)
    write_part(directory, 0, kills.part(0, 1))
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (complete(directory, 3, 1, 1, {"step": 1}), ended.set()))
    thread.start()
    write_part(directory, 1, kills.part(1, 1))
    assert not ended.wait(0.2) and newest(tmp_path) is None
    write_part(directory, 2, Part([], [], np.zeros(0, dtype=np.float32)))  # a rank that owns nothing
    thread.join()
    assert kills.check(tmp_path, told=1) == 1
    names = ["index.json", "rank-00000.safetensors", "rank-00001.safetensors"]
    assert sorted(path.name for path in directory.iterdir()) == names


def test_a_rank_that_never_shows_up_is_named(tmp_path: Path) -> None:
    write_part(tmp_path / "c", 0, kills.part(0, 1))
    with pytest.raises(TimeoutError, match=f"no sign of {record_name(1)} .* file system that all nodes share"):
        wait_for_records(tmp_path / "c", 2, threading.Event(), patience=0.1)


def test_a_checkpoint_that_is_given_up_leaves_no_index(tmp_path: Path) -> None:
    cancelled = threading.Event()
    write_part(tmp_path / "c", 0, kills.part(0, 1))
    cancelled.set()
    with pytest.raises(Cancelled):
        complete(tmp_path / "c", 2, 1, 1, {}, cancelled)
    with pytest.raises(Cancelled):
        write_part(tmp_path / "c", 1, kills.part(1, 1), cancelled)
    assert [path.name for path in sorted((tmp_path / "c").iterdir())] == ["rank-00000.json", "rank-00000.safetensors"]


def test_a_rollback_abandons_what_lies_beyond_its_target(tmp_path: Path) -> None:
    for step, life in ((10, 1), (20, 1), (30, 1), (25, 2)):
        kills.save(tmp_path, step, life)
    (checkpoint_directory(tmp_path, 40, 2)).mkdir()  # never ended
    abandoned = abandon_beyond(tmp_path, 20)
    assert abandoned == [checkpoint_directory(tmp_path, 30, 1), checkpoint_directory(tmp_path, 25, 2)]
    found = newest(tmp_path)
    assert found is not None and (found.step, found.life) == (20, 1)
    assert abandon_beyond(tmp_path, 20) == []
    # Nothing is lost: the files stay as they are, and the life still counts.
    for path in abandoned:
        assert (path / ABANDONED).is_file() and not (path / INDEX).exists()
    assert last_life(tmp_path) == 2
    (abandoned[0] / ABANDONED).rename(abandoned[0] / INDEX)
    CheckpointReader(abandoned[0]).verify()


def test_a_death_in_the_middle_of_abandoning_leaves_a_state_nearer_to_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (10, 20, 30, 40):
        kills.save(tmp_path, step, 1)
    real, done = Path.replace, []

    def second_fails(self: Path, target: Path) -> Path:
        if done:
            raise OSError(errno.EIO, "Input/output error")
        done.append(self)
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", second_fails)
        with pytest.raises(OSError, match="Input/output"):
            abandon_beyond(tmp_path, 10)
    found = newest(tmp_path)
    assert found is not None and found.step == 30
    assert len(abandon_beyond(tmp_path, 10)) == 2


def test_only_what_earlier_lives_did_not_end_is_removed(tmp_path: Path) -> None:
    for step, life in ((10, 1), (20, 1), (20, 2)):
        kills.save(tmp_path, step, life)
    abandon_beyond(tmp_path, 10)
    unfinished = [checkpoint_directory(tmp_path, step, life) for step, life in ((30, 1), (30, 2), (30, 3))]
    for path in unfinished:
        write_part(path, 0, kills.part(0, 30))
    (tmp_path / "checkpoints" / "step-00000030-life-0001-mine").mkdir()  # another's, by its name
    assert remove_leftovers(tmp_path, life=3) == unfinished[:2]
    assert [path.exists() for path in unfinished] == [False, False, True]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 5
