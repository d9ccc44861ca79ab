"""HEAD requests, and GET requests in their place where an upstream does not support HEAD."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from cachetools import LRUCache

from mirror.oci.errors import ClientFault, NotFound, UpstreamRefused
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.upstream_session import UpstreamSession

Found = TypeVar("Found")

#: Statuses with which registries answer a HEAD although a GET works.
UNRELIABLE_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 406, 501})
# Time for which HEAD is not tried again. The upstream may be repaired or updated.
_WITHOUT_HEAD_SECONDS = 3600.0
# Time for which a GET is not repeated for content that a GET did not find either. The content may be pushed meanwhile.
_CONFIRMED_SECONDS = 60.0
_MOST_CONFIRMED = 1000
# An upstream whose HEAD worked before may have one odd manifest. Three in a row are no exception any more.
_MOST_EXCEPTIONS = 3


class HeadRequests:
    """HEAD requests of one upstream for one kind of content.

    A GET replaces a HEAD that is refused or incomplete. If the GET works, and no HEAD has worked before, or three HEAD
    in a row have failed, GET is used at once for an hour. A GET that fails too confirms the answer to HEAD, and is not
    repeated for a minute if it was refused or if a HEAD has worked before. Otherwise, HEAD may not be supported at all,
    and could not tell when missing content arrives.

    An upstream with a quota counts GET requests and not HEAD, and supports HEAD. There, a 404 is final, and every
    request begins with HEAD.

    Args:
        session: session with the upstream.
        kind: kind of the content, for metrics.
    """

    def __init__(self, session: UpstreamSession, kind: str) -> None:
        self._session = session
        self._kind = kind
        self._has_worked = False
        self._exceptions = 0
        self._without_head_until = -math.inf
        self._confirmed: LRUCache[str, float] = LRUCache(_MOST_CONFIRMED)

    async def find(
        self,
        request: Request,
        missing: type[NotFound],
        described: Callable[[Answer], Found | None],
        get: Callable[[], Awaitable[Found]],
        *,
        is_rare: bool = False,
    ) -> Found:
        """Return the properties of content.

        Args:
            request: the HEAD request.
            missing: error class for a 404.
            described: reads the answer to HEAD. Returns None if the answer is incomplete.
            get: finds the properties with a GET.
            is_rare: True if the content is usually missing. A 404 is then final if a HEAD has worked before.

        Raises:
            MirrorError: as :meth:`UpstreamSession.send`, or as ``get``.
        """
        now = self._session.clock.monotonic_seconds()
        if now >= self._without_head_until:
            expect = self._expected(request.url, now, is_rare=is_rare)
            async with self._session.request(request, expect=expect, missing=missing) as answer:
                found = described(answer) if answer.status == 200 else None
            if found is not None:
                self._has_worked, self._exceptions = True, 0
                return found
        try:
            found = await get()
        except (ClientFault, UpstreamRefused) as error:
            # A login that is refused again and again may be locked.
            if self._has_worked or isinstance(error, UpstreamRefused):
                self._confirmed[request.url] = now + _CONFIRMED_SECONDS
            raise
        self._session.transport.head_fallbacks[self._kind] += 1
        self._exceptions += 1
        is_usual = self._exceptions >= (_MOST_EXCEPTIONS if self._has_worked else 1)
        # A GET in place of HEAD does not prolong the hour.
        if is_usual and not self._session.has_quota and now >= self._without_head_until:
            self._without_head_until = now + _WITHOUT_HEAD_SECONDS
        return found

    def _expected(self, url: str, now: float, *, is_rare: bool) -> frozenset[int]:
        """Return the statuses after which a GET may still work, and 200."""
        if now < self._confirmed.get(url, -math.inf):
            return frozenset({200})
        is_missing_final = self._session.has_quota or (is_rare and self._has_worked)
        return (UNRELIABLE_STATUSES - {404} if is_missing_final else UNRELIABLE_STATUSES) | {200}
