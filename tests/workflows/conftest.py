"""Films that tests of preprocessed sets share."""

import shutil
from pathlib import Path

import pytest

from tests.support.commands import write_films


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films."""
    return write_films(tmp_path_factory.mktemp("films"), 4)


@pytest.fixture
def folder(films: Path, tmp_path: Path) -> Path:
    """A copy of the films that a test may change."""
    return Path(shutil.copytree(films, tmp_path / "videos"))
