"""Every command of docs/cluster.md is executed on a fresh Slurm, and prints what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.data_pipeline import road
from tests.slurm.conftest import Slurm

PAGE = REPOSITORY / "docs" / "cluster.md"


def blocks() -> list[tuple[str, list[str]]]:
    """(command, lines shown below it) of the console blocks, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown.splitlines()))
    return found


def normal(line: str, directory: Path) -> str:
    """Without what differs between two runs: places, figures, and blanks that depend on their width."""
    line = line.replace(str(directory), "/home/you").replace(sys.executable, "/home/you/venv/bin/python")
    return " ".join(re.sub(r"config-[0-9a-f]+|[0-9][0-9:.,e+-]*", "#", line).split())


def missing(shown: list[str], printed: list[str], directory: Path) -> list[str]:
    """Lines of the page that the output does not hold in this order; `...` stands for any lines. Logs of several nodes
    are followed side by side: only lines of the same log have an order."""
    logs: dict[str, list[str]] = {}
    for line in printed:
        log, bar, _ = line.partition(" | ")
        logs.setdefault(log if bar else "", []).append(normal(line, directory))
    rest = {log: iter(lines) for log, lines in logs.items()}
    lost = []
    for line in shown:
        log, bar, _ = line.partition(" | ")
        if line != "..." and normal(line, directory) not in rest.get(log if bar else "", iter(())):
            lost.append(line)
    return lost


@pytest.mark.timeout(900)
def test_every_command_of_the_page_prints_what_it_shows(slurm_programs: None, tmp_path: Path) -> None:
    road.write_raw(tmp_path, {"books": 150_000})
    (tmp_path / "raw" / "books.jsonl").rename(tmp_path / "books.jsonl")
    page = PAGE.read_text()
    written = re.findall(r"`([\w.]+\.yaml)`:\n\n```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _ in written] == ["site.yaml", "tiny.yaml"]
    for name, text in written:
        (tmp_path / name).write_text(text)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "millrace").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m millrace "$@"\n')
    (tmp_path / "bin" / "millrace").chmod(0o755)
    rig = Slurm(tmp_path / "state")
    try:
        assert "error" not in rig.told, rig.told
        environment = {**os.environ, **rig.environment, "NO_COLOR": "1",
                       "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}  # fmt: skip
        failed, transcript = [], []
        for command, shown in blocks():
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, text=True, timeout=600,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            transcript.append(f"$ {command}\n{done.stdout}")
            if lost := missing(shown, done.stdout.splitlines(), tmp_path):
                failed.append(f"$ {command}\nnot printed: {lost}\nprinted:\n{done.stdout}")
            refused = bool(shown) and shown[0].startswith("error: ")
            if done.returncode != (2 if refused else 0):
                failed.append(f"$ {command}\nended with status {done.returncode}\n{done.stdout}")
        if into := os.environ.get("MILLRACE_TRANSCRIPT"):  # to write the page from
            Path(into).write_text("\n".join(transcript).replace(str(tmp_path), "/home/you"))
        assert not failed, "\n\n".join(failed)
    finally:
        rig.stop()
