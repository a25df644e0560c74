"""Runs a function on several real ranks over gloo and returns what each returned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Zygote:
    """Handle of the process of `tests.distributed.zygote`."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.distributed.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "the zygote did not start"

    def run(self, function: str, world_size: int, directory: Path, timeout: float = 120, **arguments: Any) -> list[Any]:
        """`function` ("module:name") called with `arguments` on every rank. Fails with all ranks' logs."""
        directory.mkdir(parents=True)
        case = {
            "function": function,
            "world_size": world_size,
            "directory": str(directory),
            "timeout": timeout,
            "arguments": arguments,
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        statuses = json.loads(self.process.stdout.readline())["statuses"]
        if any(status != 0 for status in statuses):
            logs = [f"--- rank {r}: {s}\n{(directory / f'rank-{r}.log').read_text()}" for r, s in enumerate(statuses)]
            raise AssertionError(f"{function} on {world_size} ranks failed\n" + "\n".join(logs))
        return [json.loads((directory / f"rank-{rank}.json").read_text()) for rank in range(world_size)]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)
