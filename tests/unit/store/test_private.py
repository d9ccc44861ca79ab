"""A data folder is accessible to its owner, or to the group it is shared with, under any umask."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mirror.oci.errors import StorageFault
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.folder_access import require_access, require_readable
from mirror.store.registry import Store
from mirror.store.work_locks import RuleLocks
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


GROUP, OWNER, OTHER = 64_124, 64_123, 64_125


def open_parents(folder: Path) -> None:
    """Let every user pass through the folders above, which pytest closes."""
    for parent in folder.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | 0o011)


@contextmanager
def as_owner() -> Iterator[None]:
    """Run the block as an unprivileged user."""
    os.seteuid(OWNER)
    try:
        yield
    finally:
        os.seteuid(0)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@as_root
@pytest.mark.usefixtures("umask")
async def test_root_hands_over_to_the_group_of_a_shared_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(0o770)  # without the setgid bit, Linux gives new files the main group of root
    async with Store.open(folder) as store:
        await used(store, folder)
        assert {path.stat().st_gid for path in folder.rglob("*")} == {GROUP}
        assert modes(folder) == ({0o770}, {0o660})


@as_root
@pytest.mark.parametrize("mode", [0o700, 0o777])
async def test_root_refuses_a_folder_whose_catalog_belongs_to_somebody_else(folder: Path, mode: int) -> None:
    async with Store.open(folder):
        pass
    os.chown(folder, OWNER, GROUP)
    folder.chmod(mode)
    os.chown(folder / "catalog.sqlite", OTHER, OTHER)
    with pytest.raises(StorageFault, match=f"belongs to {OWNER} and its catalog to {OTHER}.*fix: chown {OTHER}"):
        require_access(DataLayout(folder))
    folder.chmod(0o770)  # shared with a group, so the other user is in that group
    require_access(DataLayout(folder))


@as_root
@pytest.mark.parametrize("name", ["", "uploads", "blobs/sha256/ab", "generation", "catalog.sqlite"])
async def test_what_this_process_may_not_use_is_named(folder: Path, name: str) -> None:
    async with Store.open(folder):
        pass
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER)
    os.chown(folder / name, 0, 0)
    (folder / name).chmod(0o700)
    open_parents(folder)
    with (
        as_owner(),
        pytest.raises(StorageFault, match=rf"{folder / name} belongs to root, and {OWNER} may not") as said,
    ):
        require_access(DataLayout(folder))
    assert ("sudo -u root" if name == "" else f"chown -R {OWNER} {folder}") in str(said.value)


@as_root
@pytest.mark.parametrize("pattern", ["blobs/sha256/*/????*", "uploads/*/data"])
async def test_readiness_looks_at_the_newest_blobs_and_uploads(folder: Path, pattern: str) -> None:
    async with Store.open(folder) as store:
        await used(store, folder)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER)
    open_parents(folder)
    layout = DataLayout(folder)
    with as_owner():
        require_readable(layout)
    left = next(folder.glob(pattern))
    os.chown(left, 0, 0)
    with as_owner():
        require_access(layout)
        with pytest.raises(StorageFault, match=f"{left} belongs to root, and {OWNER} may not"):
            require_readable(layout)
