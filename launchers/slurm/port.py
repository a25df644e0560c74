"""`python -m launchers.slurm.port` prints a free TCP port and keeps it from others until its reader goes away.

The port is bound and not listened on. So the kernel gives it to nobody who asks for any port, while a process that asks
for this one, with SO_REUSEADDR as torch's store does, may listen there.
"""

from __future__ import annotations

import select
import socket
import sys


def main() -> None:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("", 0))
        print(held.getsockname()[1], flush=True)
        waiting = select.poll()
        waiting.register(sys.stdout.fileno(), 0)  # errors and hang-ups are always told
        waiting.poll()


if __name__ == "__main__":
    main()
