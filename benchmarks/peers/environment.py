"""The virtual environment in which other systems are measured, by the same clock on the same files as our own steps."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from configs.errors import MachineError, Problem, UserError

VARIABLE = "MILLRACE_PEERS"
_ROOT = Path(__file__).resolve().parent.parent.parent


def environment() -> Path:
    """The folder of the environment: MILLRACE_PEERS, else .venv-peers beside the code. UserError: there is none."""
    given = os.environ.get(VARIABLE)
    folder = Path(given) if given else _ROOT / ".venv-peers"
    if not (folder / "bin" / "python").exists():
        raise UserError(
            Problem(
                f"there is no environment with the other systems in {folder}",
                f"environment variable {VARIABLE}" if given else "",
                f"make it: make -C {_ROOT} peers; or name one by {VARIABLE}=DIR",
            )
        )
    return folder


def measure(step: str, path: Path, repeats: int, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """What `datatrove_steps` measured of a step on a file, with `rate`: MB per processor second, the median. `path`
    holds what the step reads. Progress goes to stderr. UserError: there is no environment."""
    python = environment() / "bin" / "python"
    script = Path(__file__).with_name("datatrove_steps.py")
    command = [str(python), "-P", str(script), step, str(path), "--repeats", str(repeats), *arguments]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **quiet}, check=False)
    if done.returncode:
        raise MachineError(
            f"datatrove's step {step} ended with status {done.returncode}",
            " ".join(command),
            go_on="its message stands above; measure without --peers, or with fewer rows (--only)",
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "rate": median(found["rates"])}
