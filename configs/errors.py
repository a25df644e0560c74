"""The two kinds of failure Millrace tells its user about, and how each is printed.

A *user's* mistake carries every problem found, each with where it is and what to do, and ends the command with exit
status 2. A *machine's* fault says what failed, where, what was saved and how to go on.
"""

from __future__ import annotations

from dataclasses import dataclass

EXIT_INTERNAL = 1
EXIT_USER = 2
EXIT_TRY_LATER = 75
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """One thing the user can mend.

    what: what is wrong, with the value found. where: `file:line key`, a path, or "" when there is no place to name.
    hint: what to do about it, with the nearest values that work; "" when nothing is known.
    """

    what: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"error: {self.what}"]
        if self.where:
            lines.append(f"  --> {self.where}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class UserError(Exception):
    """Something the user asked for cannot be done as asked. Holds *all* problems found, never only the first."""

    exit_status = EXIT_USER

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = [p if isinstance(p, Problem) else Problem(p) for p in problems]
        super().__init__("\n".join(str(p) for p in self.problems))


class MachineError(Exception):
    """The machine (or another process on it) failed: says what, on which rank, node or file, and how to go on."""

    exit_status = EXIT_INTERNAL

    def __init__(self, what: str, where: str = "", saved: str = "", go_on: str = "") -> None:
        self.what, self.where, self.saved, self.go_on = what, where, saved, go_on
        lines = [f"fault: {what}"]
        details = (("where", where), ("saved", saved), ("go on", go_on))
        lines += [f"  {label}: {text}" for label, text in details if text]
        super().__init__("\n".join(lines))


class TryLater(MachineError):
    """A fault expected to pass by itself (a lock held, a disk briefly full): exit status 75, sysexits' EX_TEMPFAIL."""

    exit_status = EXIT_TRY_LATER
