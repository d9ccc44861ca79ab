"""A data folder is accessible to its owner, or to the group it is shared with, under any umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mirror.store.registry import Store
from mirror.store.rule_locks import RuleLocks
from mirror.upstream.limits.rate_limiter import SharedRateAccount
from tests.support.builders import REPOSITORY, push_blob, push_image


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> tuple[set[int], set[int]]:
    """Return the modes of all folders, and of all files."""
    paths = [folder, *folder.rglob("*")]
    return (
        {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()},
        {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()},
    )


async def used(store: Store, folder: Path) -> None:
    """Create files of every kind."""
    await push_blob(store, b"content")
    await push_image(store, "1.0")
    await store.begin_upload(REPOSITORY)
    await store.token_key()
    async with RuleLocks(folder)("rule"):
        pass
    SharedRateAccount(folder / "limits" / "hub.requests").close()


@pytest.mark.usefixtures("umask")
async def test_a_new_folder_is_for_its_owner(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)  # the mode of the parent folder does not matter
    folder = tmp_path / "data"
    async with Store.open(folder) as store:
        await used(store, folder)
        folders, files = modes(folder)
    assert {mode & 0o777 for mode in folders} == {0o700}
    assert files == {0o600}


@pytest.mark.usefixtures("umask")
async def test_a_folder_that_is_shared_with_a_group_is_for_that(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o2775)
    async with Store.open(folder) as store:
        await used(store, folder)
        folders, files = modes(folder)
    assert (folders, files) == ({0o2770}, {0o660})


async def test_a_folder_of_before_is_tightened_and_that_is_said_once(folder: Path) -> None:
    async with Store.open(folder) as store:
        await used(store, folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)

    with capture_logs() as logs:
        for _ in range(2):
            async with Store.open(folder):
                pass

    assert modes(folder) == ({0o700}, {0o600})
    assert [line["path"] for line in logs] == [str(folder)]
    assert logs[0]["files"] > 512
