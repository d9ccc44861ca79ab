"""Trusted key sets and the states of streams, in the catalog."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mirror.oci import Digest
from mirror.records.bundle_trust import StreamState, TrustedKeySet
from mirror.store.records.bundles.sql_bundle_trust import put_stream
from mirror.store.registry import Store

ROOT, OTHER = Digest.of(b"root"), Digest.of(b"other")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
STATE = StreamState("depot", 9, Digest.of(b"9"), NOON, NOON, ROOT)


def key_set(version: int, root: Digest = ROOT, **resets: int) -> TrustedKeySet:
    return TrustedKeySet(root, version, b"%d" % version, resets)


async def put(store: Store, state: StreamState) -> None:
    await store.records.bundle_trust._catalog.write_uncached(lambda connection: put_stream(connection, state))


async def versions(store: Store) -> list[tuple[Digest, int]]:
    return [(each.root, each.version) for each in await store.records.bundle_trust.list_key_sets()]


async def test_key_sets_are_trusted_in_the_order_of_their_chain(store: Store):
    trust = store.records.bundle_trust
    assert await trust.record_root(key_set(1))
    assert not await trust.record_root(key_set(1))
    assert await trust.record_root(key_set(3, OTHER))
    # A version that does not follow the newest one, and one of a chain that nobody trusts, are passed over.
    await trust.record_successors([key_set(2), key_set(4), key_set(2, Digest.of(b"unknown"))])
    await trust.record_successors([key_set(2), key_set(3), key_set(4, OTHER)])
    assert sorted(await versions(store)) == sorted([(ROOT, 1), (ROOT, 2), (ROOT, 3), (OTHER, 3), (OTHER, 4)])
    assert await trust.remove_root(ROOT)
    assert not await trust.remove_root(ROOT)
    assert await versions(store) == [(OTHER, 3), (OTHER, 4)]


async def test_the_state_of_a_stream_is_kept_and_its_time_never_goes_back(store: Store):
    trust = store.records.bundle_trust
    assert await trust.find_stream("depot") is None
    await put(store, STATE)
    earlier = replace(STATE, serial=10, created_at=NOON - timedelta(days=9))
    await put(store, earlier)
    unsigned = StreamState("annex", 1, Digest.of(b"1"), NOON, NOON)
    await put(store, unsigned)
    assert await trust.find_stream("depot") == replace(earlier, created_at=NOON)
    assert await trust.list_streams() == [unsigned, replace(earlier, created_at=NOON)]


async def test_a_reset_counts_once_and_for_streams_of_its_chain(store: Store):
    trust = store.records.bundle_trust
    await trust.record_root(key_set(1))
    for state in (STATE, replace(STATE, stream="low", serial=2), replace(STATE, stream="foreign", root=OTHER)):
        await put(store, state)
    await trust.record_successors([key_set(2, depot=5, low=5, foreign=5)])
    assert [(each.serial, each.statement) for each in await trust.list_streams()] == [
        (5, None),
        (9, STATE.statement),
        (2, STATE.statement),
    ]
    await put(store, replace(STATE, serial=8))
    await trust.record_successors([key_set(2, depot=5)])
    assert (await trust.find_stream("depot")) == replace(STATE, serial=8)
