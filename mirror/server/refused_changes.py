"""Notes in the audit of changes that were refused, and of logins that failed."""

from __future__ import annotations

from time import monotonic
from typing import Final

import structlog
from aiohttp import hdrs, web

from mirror.oci.errors import Denied, MirrorError, Unauthorized
from mirror.oci.printable_text import printable
from mirror.records.changes.change import Change, ChangeKind, ChangeLog
from mirror.server.authentication import TOKEN_PATH

_LOG = structlog.get_logger(__name__)

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Notes that a process makes at once, and how many it may make each second from then on. A note is a durable write, and
#: a client can send as many requests as it likes.
_MOST_AT_ONCE: Final = 100
_PER_SECOND: Final = 5.0
_MOST_CHARACTERS: Final = 500


class RefusedChanges:
    """Notes refusals. Those beyond a rate are counted, and the next note has their number.

    Args:
        log: takes the notes.
    """

    def __init__(self, log: ChangeLog) -> None:
        self._log = log
        self._room, self._at_seconds = float(_MOST_AT_ONCE), monotonic()
        self._left_out = 0

    async def note(self, request: web.BaseRequest, error: MirrorError) -> None:
        """Note a refusal, unless it concerns a read or is a mere challenge. A failure is logged."""
        kind = _kind_of(request, error)
        if kind is None:
            return
        now = monotonic()
        self._room = min(self._room + (now - self._at_seconds) * _PER_SECOND, _MOST_AT_ONCE)
        self._at_seconds = now
        if self._room < 1:
            self._left_out += 1
            return
        self._room -= 1
        left_out, self._left_out = self._left_out, 0
        name = str(error.detail.get("name", ""))
        told = Change(
            kind,
            printable(f"{request.method} {request.rel_url.raw_path}", _MOST_CHARACTERS),
            name,
            rule=str(error.detail.get("rule", "")),
            reason=printable(error.message, _MOST_CHARACTERS),
            detail={"others_left_out": str(left_out)} if left_out else {},
        )
        try:
            await self._log.note(told)
        except MirrorError as fault:  # the client gets its refusal all the same
            _LOG.error("refusal could not be noted in the audit", error=str(fault))


def _kind_of(request: web.BaseRequest, error: MirrorError) -> ChangeKind | None:
    if isinstance(error, Denied):
        return None if request.method in _READING else ChangeKind.REFUSED
    if not isinstance(error, Unauthorized):
        return None
    # A request without a login gets a challenge, which is how every login begins.
    is_basic = request.headers.get(hdrs.AUTHORIZATION, "").lower().startswith("basic ")
    is_form = request.method == "POST" and request.rel_url.path.endswith(TOKEN_PATH)
    return ChangeKind.LOGIN_FAILED if is_basic or is_form else None
