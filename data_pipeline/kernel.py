"""How loops over text are compiled: by numba, once per installation, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles `function` at its first call. The machine code is kept beside the source or in the user's cache; where
    neither may be written (a read-only installation without a home) each process compiles for itself."""
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "cannot cache function: no locator available"
        compiled = numba.njit(nogil=True)(function)
    return compiled
