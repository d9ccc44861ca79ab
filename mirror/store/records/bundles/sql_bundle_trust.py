"""Trusted key sets and the states of streams, in the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from mirror.oci import Digest
from mirror.records.bundle_trust import StreamState, TrustedKeySet
from mirror.store.catalog import rows
from mirror.store.catalog.tables.bundle_tables import bundle_key_sets, bundle_streams
from mirror.store.store_services import StoreServices

_STREAM: Final = select(bundle_streams).where(bundle_streams.c.stream == bindparam("wanted"))
_STREAMS: Final = select(bundle_streams).order_by(bundle_streams.c.stream)
_KEY_SETS: Final = select(bundle_key_sets).order_by(bundle_key_sets.c.root, bundle_key_sets.c.version)
_NEWEST: Final = select(func.max(bundle_key_sets.c.version)).where(bundle_key_sets.c.root == bindparam("chain"))


class SqlBundleTrust:
    """Implements :class:`mirror.records.bundle_trust.BundleTrust`. Nothing of it is cached."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._clock = services.clock

    async def find_stream(self, stream: str) -> StreamState | None:
        return await self._catalog.read(lambda connection: find_stream(connection, stream))

    async def list_streams(self) -> Sequence[StreamState]:
        found = await self._catalog.read(lambda connection: connection.execute(_STREAMS).all())
        return [_state(row) for row in found]

    async def list_key_sets(self) -> Sequence[TrustedKeySet]:
        found = await self._catalog.read(lambda connection: connection.execute(_KEY_SETS).all())
        sets = [
            TrustedKeySet(Digest.parse(row.root), row.version, row.envelope, trusted_at=row.trusted_at) for row in found
        ]
        since: dict[Digest, Any] = {}
        for each in sets:
            since.setdefault(each.root, each.trusted_at)
        return sorted(sets, key=lambda each: (since[each.root], each.root, each.version))

    async def record_root(self, key_set: TrustedKeySet) -> bool:
        def record(connection: Connection) -> bool:
            if _newest_version(connection, key_set.root) is not None:
                return False
            _put_key_set(connection, key_set, self._clock.now())
            return True

        return await self._catalog.write_uncached(record)

    async def record_successors(self, key_sets: Sequence[TrustedKeySet]) -> None:
        if key_sets:
            await self._catalog.write_uncached(
                lambda connection: put_successors(connection, key_sets, self._clock.now())
            )

    async def remove_root(self, root: Digest) -> bool:
        statement = delete(bundle_key_sets).where(bundle_key_sets.c.root == str(root))
        return bool(await self._catalog.write_uncached(lambda connection: connection.execute(statement).rowcount))


def find_stream(connection: Connection, stream: str) -> StreamState | None:
    """Return the state of a stream; None if no bundle of the stream was imported."""
    row = connection.execute(_STREAM, {"wanted": stream}).one_or_none()
    return None if row is None else _state(row)


def put_stream(connection: Connection, state: StreamState) -> None:
    """Record the last imported bundle of a stream. Runs inside a transaction.

    The recorded time of creation never goes back.
    """
    known = find_stream(connection, state.stream)
    created_at = state.created_at if known is None else max(state.created_at, known.created_at)
    rows.put(
        connection,
        bundle_streams,
        {
            "stream": state.stream,
            "serial": state.serial,
            "statement": state.statement and str(state.statement),
            "created_at": created_at,
            "imported_at": state.imported_at,
            "root": state.root and str(state.root),
        },
    )


def put_successors(connection: Connection, key_sets: Sequence[TrustedKeySet], now: datetime) -> None:
    """Record key sets that follow trusted ones, with their resets. Runs inside a transaction."""
    for each in key_sets:
        newest = _newest_version(connection, each.root)
        # Another process may have recorded the key set, or a person removed the chain, since the bundle was judged.
        if newest is None or each.version != newest + 1:
            continue
        _put_key_set(connection, each, now)
        # In the same transaction as the key set: a reset counts once, when the key set is learnt.
        for stream, serial in each.resets.items():
            connection.execute(
                update(bundle_streams)
                .where(bundle_streams.c.stream == stream, bundle_streams.c.root == str(each.root))
                .where(bundle_streams.c.serial > serial)
                .values(serial=serial, statement=None)
            )


def _newest_version(connection: Connection, root: Digest) -> int | None:
    newest: int | None = connection.execute(_NEWEST, {"chain": str(root)}).scalar_one()
    return newest


def _put_key_set(connection: Connection, key_set: TrustedKeySet, now: datetime) -> None:
    row = {"root": str(key_set.root), "version": key_set.version, "envelope": key_set.envelope, "trusted_at": now}
    rows.put(connection, bundle_key_sets, row)


def _state(row: Row[Any]) -> StreamState:
    return StreamState(
        row.stream,
        row.serial,
        row.statement and Digest.parse(row.statement),
        row.created_at,
        row.imported_at,
        row.root and Digest.parse(row.root),
    )
