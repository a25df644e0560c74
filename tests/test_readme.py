"""Every command of the README is executed, in its order, in one shell of a new user."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, absent
from tests.data_pipeline.raw import page

README = (REPOSITORY / "README.md").read_text()

# `make demo` in the smallest size that walks the whole road; the slow suite runs it as it is. `make test` runs this test.
SUBSTITUTES = {
    "make demo": f"make -C {REPOSITORY} demo OUT=$PWD/demo ARGS='sources.0.max_bytes=3MB tokenizer.vocab_size=1000 "
    "tokenizer.train_bytes=500kB train.steps=2 train.seq_length=64 schedule.warmup_steps=1 model.num_layers=1 "
    "eval.samples=4'",
    "make test": f"make -C {REPOSITORY} --dry-run test",
}
SERVERS = ("mlflow ui",)


@dataclass(frozen=True)
class Command:
    """A line `$ text` of a console block, with the lines shown below it."""

    text: str
    shown: str

    @property
    def expected_status(self) -> int:
        return 2 if self.shown.startswith("error: ") else 0


def commands() -> list[Command]:
    """All commands of the README's console blocks, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL):
        assert block.startswith("$ "), f"a console block starts with a command: {block!r}"
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            text, _, shown = part.partition("\n")
            found.append(Command(text, shown))
    return found


def files() -> dict[str, str]:
    """The files that the README tells the reader to write: `name.yaml` named just above a yaml block."""
    return dict(re.findall(r"`([\w.]+\.yaml)`:\n\n```yaml\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def serves(command: str, cwd: Path, environment: dict[str, str]) -> bool:
    """Whether a command that never ends answers over HTTP."""
    port = free_port()
    process = subprocess.Popen(
        f"exec {command} --port {port}",
        shell=True,
        cwd=cwd,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        return False
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(900)
def test_every_command_of_the_readme_works_as_shown(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        absent("make")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        "HOME": str(tmp_path),
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "crawl").mkdir()
    prose = "<p>The mill stands by the river, and the wheel that turns it has been there for years. It is page {}.</p>"
    pages = [page(f"<html><body>{prose.format(n) * 6}</body></html>") for n in range(5)]
    (tmp_path / "crawl" / "a.warc").write_bytes(b"".join(pages))
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    listed = commands()
    assert len(listed) > 10
    shell = [c for c in listed if not c.text.startswith(SERVERS)]
    script = "".join(
        f"echo '::begin {i}'\n{SUBSTITUTES.get(command.text, command.text)}\necho \"::end $?\"\n"
        for i, command in enumerate(shell)
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=840,
        check=False,
    )
    results = re.findall(r"^::begin (\d+)\n(.*?)^::end (\d+)$", done.stdout, flags=re.MULTILINE | re.DOTALL)
    assert len(results) == len(shell), done.stdout[-3000:]
    for command, (_, output, status) in zip(shell, results, strict=True):
        assert int(status) == command.expected_status, f"$ {command.text}\n{output}"
        if command.expected_status:
            assert output == command.shown, f"$ {command.text}"
    assert "no problem found" in done.stdout
    assert "resumed from run/checkpoints/step-00000020-life-0001" in done.stdout
    assert "ruff" in done.stdout and "mypy" in done.stdout and "pytest" in done.stdout
    for server in (c for c in listed if c.text.startswith(SERVERS)):
        path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{environment['PATH']}"
        assert serves(server.text, tmp_path, environment | {"PATH": path}), server.text


def test_every_preset_and_link_of_the_readme_exists() -> None:
    from configs import presets

    bare = {name.partition("/")[2] for name in presets.names()}
    named = set(re.findall(r"`((?:gpt|llama)[\w.-]*)`", README))
    assert named and named <= bare
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target


def test_the_readme_names_every_command() -> None:
    for command in (
        "demo",
        "data run",
        "data verify",
        "data locate",
        "data decide",
        "train",
        "generate",
        "check",
        "config",
        "bench mfu",
    ):
        assert f"millrace {command}" in README or f"make {command}" in README, command
