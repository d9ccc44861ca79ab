import errno

import pytest

from mirror.oci.errors import StorageFault, StorageFull
from mirror.store.storage_threads import in_thread


@pytest.mark.parametrize(
    ("code", "expected"),
    [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StorageFault), (errno.EROFS, StorageFault)],
)
async def test_the_disk_fails(code: int, expected: type[StorageFault]) -> None:
    def work() -> None:
        raise OSError(code, "what the system says")

    with pytest.raises(StorageFault, match="cannot store the thing: what the system says") as raised:
        await in_thread("store the thing", work)

    assert type(raised.value) is expected
    assert isinstance(raised.value.__cause__, OSError)
