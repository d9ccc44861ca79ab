"""An own store for each test."""

import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.store.registry import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
async def store(folder: Path) -> AsyncIterator[Store]:
    """An open, empty store in ``folder``."""
    async with Store.open(folder) as opened:
        yield opened


@pytest.fixture
def old_folder(folder: Path) -> Path:
    """A data folder of revision 0007, as described in ``folders/README.md``. ``folder`` has the same path."""
    with tarfile.open(Path(__file__).parent / "folders" / "revision-0007.tar.gz") as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder
