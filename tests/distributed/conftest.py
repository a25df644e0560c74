from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.distributed.ranks import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """One process that has the heavy imports done, for all distributed tests of the session."""
    handle = Zygote()
    yield handle
    handle.close()
