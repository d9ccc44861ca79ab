"""The text of errors for clients."""

import json

import pytest

from mirror.oci.errors import CatalogFault, StorageDamaged, StorageFault, StorageFull
from mirror.server.http.error_responses import refused


@pytest.mark.parametrize(
    "error",
    [
        StorageFault("cannot read a blob: Permission denied: /srv/data/blobs/ab", path="/srv/data/blobs/ab"),
        StorageFault("/srv/data/uploads belongs to root", path="/srv/data/uploads", owner="root"),
        CatalogFault(
            "cannot read the catalog: disk I/O error (/srv/data/catalog.sqlite)", path="/srv/data/catalog.sqlite"
        ),
        StorageFull("cannot store: No space left: /srv/data/catalog.sqlite (no inode is left)", path="/srv/data"),
    ],
)
def test_clients_are_not_told_files_and_users_of_the_machine(error: StorageFault) -> None:
    body = refused(error, "c0ffee-1").body
    assert isinstance(body, bytes)
    (said,) = json.loads(body)["errors"]
    assert "the server's log has the cause under request c0ffee-1" in said["message"]
    assert "/" not in said["message"]
    assert said["detail"] == {"request_id": "c0ffee-1"}


@pytest.mark.parametrize(
    "error",
    [
        StorageFull("48.0 MiB do not fit; fix: free some space", free_bytes=7),
        StorageDamaged("the file of sha256:00 is missing from the disk"),
    ],
)
def test_clients_are_told_other_faults_of_the_storage(error: StorageFault) -> None:
    body = refused(error, "c0ffee-1").body
    assert isinstance(body, bytes)
    assert json.loads(body)["errors"][0]["message"] == error.message
