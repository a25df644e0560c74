"""What stands between the launcher and a rank: run by path, `rank.py LAUNCHER_PID COMMAND...`, it becomes the command.

It ties the rank's life to the launcher's (the kernel kills the rank when the launcher dies, even by SIGKILL), sends
stderr to the same log as stdout, and takes the terminal away. Needs the standard library alone, so it is quick.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; survives the exec below


def main() -> None:
    launcher, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != launcher:  # it died before the line above
        raise SystemExit(1)
    os.dup2(1, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"fault: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        raise SystemExit(127) from None


if __name__ == "__main__":
    main()
