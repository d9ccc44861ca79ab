import errno

import pytest

from mirror.oci.errors import StorageFault, StorageFull, TooManyOpenFiles
from mirror.store.storage_threads import in_thread


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EIO, StorageFault),
        (errno.EROFS, StorageFault),
        (errno.EMFILE, TooManyOpenFiles),
        (errno.ENFILE, TooManyOpenFiles),
    ],
)
async def test_the_disk_fails(code: int, expected: type[StorageFault]) -> None:
    def work() -> None:
        raise OSError(code, "what the system says")

    with pytest.raises(StorageFault, match="cannot store the thing: ") as raised:
        await in_thread("store the thing", work)

    assert type(raised.value) is expected
    assert isinstance(raised.value.__cause__, OSError)


async def test_a_file_that_must_not_be_used_is_named() -> None:
    def work() -> None:
        raise OSError(errno.EACCES, "Permission denied", "/data/catalog.sqlite")

    with pytest.raises(StorageFault, match=r"Permission denied: /data/catalog.sqlite; fix: run as its owner"):
        await in_thread("open the thing", work)
