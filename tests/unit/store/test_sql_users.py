"""Users, tokens and the signing key in the catalog."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mirror.oci.errors import ClientFault, NotFound, StorageDamaged
from mirror.records.users import User, UserToken
from mirror.store.content.data_layout import DataLayout
from mirror.store.content.filesystem import Filesystem
from mirror.store.content.token_key import read_token_key
from mirror.store.registry import Store

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ANNA, BOB = User("anna", "$2b$anna", NOW), User("bob", "$2b$bob", NOW)
TOKEN = UserToken("1a2b", "anna", "build server", NOW, NOW + timedelta(days=90))


async def test_users_come_change_and_go(store: Store) -> None:
    assert not await store.records.users.has_users()
    await store.records.users.add_user(BOB)
    await store.records.users.add_user(ANNA)
    assert await store.records.users.has_users()
    assert await store.records.users.list_users() == [ANNA, BOB]
    assert (await store.records.users.find_user("anna"), await store.records.users.find_user("eve")) == (ANNA, None)
    await store.records.users.change_password("anna", "$2b$other")
    assert await store.records.users.find_user("anna") == replace(ANNA, password_hash="$2b$other")
    await store.records.users.remove_user("anna")
    assert await store.records.users.find_user("anna") is None
    assert await store.records.users.list_users() == [BOB]


async def test_a_name_is_taken_once(store: Store) -> None:
    await store.records.users.add_user(ANNA)
    with pytest.raises(ClientFault, match="there is a user anna already"):
        await store.records.users.add_user(replace(ANNA, password_hash="$2b$other"))
    assert await store.records.users.find_user("anna") == ANNA


async def test_tokens_come_and_go(store: Store) -> None:
    await store.records.users.add_user(ANNA)
    await store.records.users.add_token(TOKEN, "ab" * 32)
    assert await store.records.users.find_token_by_secret("ab" * 32) == TOKEN
    assert await store.records.users.find_token_by_secret("cd" * 32) is None
    assert await store.records.users.find_token("1a2b") == TOKEN
    assert await store.records.users.list_tokens() == [TOKEN]
    await store.records.users.revoke_token("1a2b")
    assert await store.records.users.find_token("1a2b") is None
    assert await store.records.users.find_token_by_secret("ab" * 32) is None


async def test_tokens_go_with_their_user(store: Store) -> None:
    await store.records.users.add_user(ANNA)
    await store.records.users.add_token(replace(TOKEN, expires_at=None), "ab" * 32)
    await store.records.users.remove_user("anna")
    assert await store.records.users.list_tokens() == []


async def test_what_is_not_there_is_said(store: Store) -> None:
    for change in (
        store.records.users.remove_user("eve"),
        store.records.users.change_password("eve", "x"),
        store.records.users.add_token(TOKEN, "ab" * 32),
        store.records.users.revoke_token("ffff"),
    ):
        with pytest.raises(NotFound):
            await change


async def test_another_process_sees_it_at_once(folder: Path, store: Store) -> None:
    async with Store.open(folder) as other:
        assert (await other.records.users.has_users(), await other.records.users.find_user("anna")) == (False, None)
        await store.records.users.add_user(ANNA)
        await store.records.users.add_token(TOKEN, "ab" * 32)
        assert (await other.records.users.has_users(), await other.records.users.find_user("anna")) == (True, ANNA)
        assert await other.records.users.find_token("1a2b") == TOKEN
        await store.records.users.remove_user("anna")
        assert (await other.records.users.has_users(), await other.records.users.find_user("anna")) == (False, None)
        assert await other.records.users.find_token("1a2b") is None


async def test_the_key_is_one_for_all_and_its_owners_alone(folder: Path, store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        layout = DataLayout(folder)
        keys = list(pool.map(lambda _: read_token_key(layout, Filesystem()), range(64)))
    assert {await store.token_key()} == set(keys)
    assert len(keys[0]) == 32
    assert stat.S_IMODE((folder / "token.key").stat().st_mode) == 0o600
    assert list((folder / "uploads").iterdir()) == []


async def test_a_damaged_key_is_said(folder: Path, store: Store) -> None:
    await store.token_key()
    (folder / "token.key").write_bytes(b"short")
    with pytest.raises(StorageDamaged, match="remove it"):
        await store.token_key()
