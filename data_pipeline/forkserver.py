"""For the server that workers are forked from, which imports this first: it takes the folder of its own socket away.

Python has the parent do that, which a parent that is killed cannot. The server outlives it until the last worker is gone.
"""

from __future__ import annotations

import atexit
import os
import shutil

FOLDER = "MILLRACE_FORKSERVER_FOLDER"
"""The variable that names the folder, set for the server alone."""

if folder := os.environ.pop(FOLDER, ""):
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # forked workers leave without it
