"""Limits on the number of open upload sessions. Pure.

The id of a session says for which client the session counts. The folder of uploads is therefore the only state that
all processes need, and no counter beside it can be wrong after a crash.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from mirror.oci import Digest
from mirror.oci.errors import TooManyRequests

_RETRY_AFTER_SECONDS: Final = 60
#: Start of the id of a session that counts for a client. Downloads and sessions begun by the server itself have other
#: ids: a client that may only pull could otherwise use up the limit of all with downloads that fail.
_OF_A_CLIENT: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits on the number of open upload sessions.

    Attributes:
        per_client: most open sessions of one client.
        in_all: most open sessions of all clients together.
    """

    per_client: int = 1024
    in_all: int = 16384


def client_prefix(client: str) -> str:
    """Return the prefix of the session ids of a client: 48 bits of a hash of the client, as the start of a UUID."""
    hashed = Digest.of(f"client {client}".encode()).hex
    return f"{hashed[:8]}-{hashed[8:12]}-"


def new_id(client: str) -> str:
    """Return an unguessable id for a session of a client: a UUID of version 8 (RFC 9562), random after its prefix."""
    prefix = client_prefix(client)
    return f"{prefix}8{str(uuid4())[len(prefix) + 1 :]}"


def require_room(limits: SessionLimits, client: str, open_ids: Collection[str]) -> None:
    """Check that a client may begin one more session.

    Args:
        limits: the limits.
        client: the client that asks.
        open_ids: ids of all open sessions and downloads. Those that no client began are not counted.

    Raises:
        TooManyRequests: the client, or all clients together, have reached the limit.
    """
    of_clients = [upload_id for upload_id in open_ids if _OF_A_CLIENT.match(upload_id)]
    if len(of_clients) >= limits.in_all:
        raise TooManyRequests(
            f"{len(of_clients)} upload sessions are open, which is the limit; "
            "fix: retry later, or raise server.limits.upload_sessions",
            limit=limits.in_all,
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    prefix = client_prefix(client)
    if sum(upload_id.startswith(prefix) for upload_id in of_clients) >= limits.per_client:
        raise TooManyRequests(
            f"{client} has {limits.per_client} upload sessions open, which is the limit; "
            "fix: finish or cancel (DELETE) them, wait until they expire, or raise "
            "server.limits.upload_sessions_per_client",
            limit=limits.per_client,
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
