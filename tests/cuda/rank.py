"""A case as the only rank of a world, in a fresh process: `python -m tests.cuda.rank MODULE:FUNCTION ARGUMENTS OUT`.

Not forked as ranks on CPUs are: CUDA does not survive a fork once it was asked for anything. A hidden GPU
(CUDA_VISIBLE_DEVICES="") makes it the same case on the CPU.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path


def main(function: str, arguments: str, out: str) -> None:
    from pretrain.parallel import runtime

    runtime.prepare()
    module, _, name = function.partition(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    Path(out).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # as ranks end: nothing is left to tear down
