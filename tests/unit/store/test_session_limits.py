"""Ids of upload sessions: the client that they count for, and protection against guessing."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import TooManyRequests
from mirror.store.content.data_layout import is_upload_id
from mirror.store.uploads.session_limits import SessionLimits, new_id, require_room


def test_an_id_is_a_uuid_and_each_is_another() -> None:
    ids = {new_id("192.0.2.1") for _ in range(100)}
    assert len({upload_id[15:] for upload_id in ids}) == 100
    for upload_id in ids:
        assert is_upload_id(upload_id)
        assert (str(UUID(upload_id)), UUID(upload_id).version) == (upload_id, 8)


def test_a_client_is_counted_by_its_ids_alone() -> None:
    open_ids = [*(new_id("192.0.2.1") for _ in range(2)), *(new_id("192.0.2.2") for _ in range(3))]
    require_room(SessionLimits(per_client=3, in_all=6), "192.0.2.1", open_ids)
    with pytest.raises(TooManyRequests, match="upload_sessions_per_client"):
        require_room(SessionLimits(per_client=2, in_all=6), "192.0.2.1", open_ids)
    with pytest.raises(TooManyRequests, match=r"upload_sessions$"):
        require_room(SessionLimits(per_client=3, in_all=5), "192.0.2.1", open_ids)


def test_what_no_client_began_is_not_counted() -> None:
    ours = [str(uuid4()), f"0123456789abcdef-{uuid4()}"]  # the second id is from an earlier version
    downloads = [f"{algorithm}-{'8' * 64}" for algorithm in ALGORITHMS]
    require_room(SessionLimits(per_client=1, in_all=1), "192.0.2.1", [*ours, *downloads])
