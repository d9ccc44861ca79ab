"""Limits of upload sessions that are open at a time. Pure.

Whom a session is counted for stands in its id. So the folder of uploads is the one truth for all processes, and nothing
has to be kept beside it.
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
#: How an id begins that a client is counted for; those of downloads, and of what we begin ourselves, are others.
_OF_A_CLIENT: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits of upload sessions that are open at a time.

    Attributes:
        per_client: most sessions of one client.
        in_all: most sessions of all clients together.
    """

    per_client: int = 1024
    in_all: int = 16384


def client_prefix(client: str) -> str:
    """The prefix of the ids of a client's sessions: 48 bits of a hash of the client, as the start of a UUID."""
    hashed = Digest.of(f"client {client}".encode()).hex
    return f"{hashed[:8]}-{hashed[8:12]}-"


def new_id(client: str) -> str:
    """An id for a session of a client, that nobody guesses: a UUID of version 8 (RFC 9562), random after its start."""
    prefix = client_prefix(client)
    return f"{prefix}8{str(uuid4())[len(prefix) + 1 :]}"


def require_room(limits: SessionLimits, client: str, open_ids: Collection[str]) -> None:
    """Return where a client may begin one more session.

    Args:
        limits: how many there may be.
        client: who asks.
        open_ids: ids of all open sessions and downloads; what no client began is not counted.

    Raises:
        TooManyRequests: it may not.
    """
    of_clients = [upload_id for upload_id in open_ids if _OF_A_CLIENT.match(upload_id)]
    if len(of_clients) >= limits.in_all:
        raise TooManyRequests(
            f"{len(of_clients)} uploads are open: come back later, or raise server.limits.upload_sessions",
            limit=limits.in_all,
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    prefix = client_prefix(client)
    if sum(upload_id.startswith(prefix) for upload_id in of_clients) >= limits.per_client:
        raise TooManyRequests(
            f"{client} has {limits.per_client} uploads open: finish or cancel (DELETE) them, wait until they expire, "
            "or raise server.limits.upload_sessions_per_client",
            limit=limits.per_client,
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
