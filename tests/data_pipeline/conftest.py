"""One small finished corpus for the tests that only look."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.data_pipeline import road

# Property tests never assert timings: the machine may be busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with raw texts, data.yaml and the finished corpus of one worker. Not to be changed."""
    directory = tmp_path_factory.mktemp("made")
    road.write_raw(directory)
    road.write_config(directory)
    done = road.millrace(directory, "data", "run", "data.yaml")
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"
