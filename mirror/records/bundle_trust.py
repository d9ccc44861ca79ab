"""Records about trust in bundles: the key sets that are trusted, and the last imported bundle of each stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mirror.oci import Digest


@dataclass(frozen=True, slots=True)
class StreamState:
    """Last imported bundle of a stream.

    Attributes:
        stream: name of the stream.
        serial: serial of the bundle.
        statement: digest of its statement; None after a key set has reset the stream to ``serial``.
        created_at: latest time of creation of any bundle of the stream.
        imported_at: time of the import.
        root: first key set of the chain that signed the bundle; None for an unsigned bundle.
    """

    stream: str
    serial: int
    statement: Digest | None
    created_at: datetime
    imported_at: datetime
    root: Digest | None = None


@dataclass(frozen=True, slots=True)
class TrustedKeySet:
    """Key set that is trusted, as a signed document of :mod:`mirror.bundle.trust.key_set`.

    Attributes:
        root: digest of the first trusted key set of the chain.
        version: version of the key set.
        envelope: the key set with its signatures.
        resets: serials that the key set gives to streams. Empty in what is read from the records.
        trusted_at: time since which the key set is trusted; None before it is recorded.
    """

    root: Digest
    version: int
    envelope: bytes
    resets: Mapping[str, int] = field(default_factory=dict)
    trusted_at: datetime | None = None


class BundleTrust(Protocol):
    """Port that stores trusted key sets and the state of streams."""

    async def find_stream(self, stream: str) -> StreamState | None:
        """Return the state of a stream; None if no bundle of the stream was imported."""
        ...

    async def list_streams(self) -> Sequence[StreamState]:
        """Return the states of all streams, sorted by name."""
        ...

    async def list_key_sets(self) -> Sequence[TrustedKeySet]:
        """Return all trusted key sets, sorted by the time of first trust of their chain and by version."""
        ...

    async def record_root(self, key_set: TrustedKeySet) -> bool:
        """Trust a key set as the first of a chain. Return False if the chain is trusted already."""
        ...

    async def record_successors(self, key_sets: Sequence[TrustedKeySet]) -> None:
        """Record key sets that follow the newest ones of their chains, and reset the streams that they name.

        A key set of a chain that is not trusted (any more), or that does not follow the newest one, is passed over.
        A reset lowers the serial of a stream that the same chain has signed, and never raises one.
        """
        ...

    async def remove_root(self, root: Digest) -> bool:
        """Trust the key sets of a chain no longer. Return False if there is none.

        The states of streams stay. A signed stream never accepts unsigned bundles.
        """
        ...
