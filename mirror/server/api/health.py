"""``/healthz`` shows that the process answers, ``/readyz`` that content can be read, and whether it can be written."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from aiohttp import web

from mirror.oci.errors import MirrorError
from mirror.server.http.error_responses import RefusalResponse

_log = structlog.get_logger(__name__)

#: Returns if its subject is ready, raises otherwise.
Check = Callable[[], Awaitable[object]]

# Limit for one check.
_CHECK_SECONDS = 5.0
# Outcomes are reused for this time, so that frequent requests do not repeat the checks.
_FRESH_SECONDS = 1.0
# A question about reads waits no longer than this for the outcome of writes.
_WRITES_SECONDS = 0.5
_UNKNOWN = "not known yet"


class Health:
    """Handlers for health checks.

    Args:
        checks: the readiness checks, by name.
        of_writes: names of the checks without which content can be read all the same.
        is_read_only: True to tell that the server changes nothing.
    """

    def __init__(
        self, checks: Mapping[str, Check], of_writes: Collection[str] = (), *, is_read_only: bool = False
    ) -> None:
        self._names = tuple(checks)
        self._mode = {"mode": "read-only"} if is_read_only else {}
        self._reads = _Round({name: check for name, check in checks.items() if name not in of_writes})
        self._writes = _Round({name: check for name, check in checks.items() if name in of_writes})

    async def alive(self, _request: web.BaseRequest) -> web.Response:
        """Answer 200."""
        return _answer(200, {"status": "ok"})

    async def ready(self, request: web.BaseRequest) -> web.Response:
        """Answer 200 if content can be read, else 503. The body has the outcome of each check, at most 1 s old.

        With the query ``for=writes``, answer 503 also if content cannot be written. Without it, checks of writes that
        take long, such as those of a locked catalog, are not waited for.
        """
        for_writes = request.rel_url.query.get("for") == "writes"
        writing = self._writes.run()
        # A client that leaves must not end the run that others wait for.
        read = await asyncio.shield(self._reads.run())
        await asyncio.wait([writing], timeout=None if for_writes else _WRITES_SECONDS)
        found = read | (writing.result() if writing.done() else self._writes.latest)
        outcomes = {name: found[name] for name in self._names}
        failed = [name for name, outcome in outcomes.items() if outcome != "ok"]
        reads, writes = ("failed" if names else "ok" for names in ([name for name in failed if name in read], failed))
        body = {
            "status": reads,
            **({"writes": writes} if len(read) < len(self._names) else {}),
            "checks": outcomes,
            **self._mode,
        }
        if (writes if for_writes else reads) == "ok":
            return _answer(200, body)
        reason = "; ".join(f"{name}: {outcomes[name]}" for name in failed)
        return RefusalResponse(503, json.dumps(body).encode(), "NOT_READY", reason)


class _Round:
    """Checks that are run together, at most once a second. Concurrent callers share one run.

    Attributes:
        latest: the latest outcomes.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self.latest = dict.fromkeys(checks, _UNKNOWN)
        self._checks = dict(checks)
        self._checked_at_seconds = -_FRESH_SECONDS
        self._run: asyncio.Task[dict[str, str]] | None = None
        self._hanging: dict[str, asyncio.Future[object]] = {}

    def run(self) -> asyncio.Task[dict[str, str]]:
        """Return the run under way, or begin one. Its result is the outcome of each check: ``ok``, or what is wrong."""
        if self._run is None or self._run.done():
            self._run = asyncio.create_task(self._look())
        return self._run

    async def _look(self) -> dict[str, str]:
        if time.monotonic() - self._checked_at_seconds >= _FRESH_SECONDS:
            outcomes = await asyncio.gather(*(self._outcome(name) for name in self._checks))
            self.latest = dict(zip(self._checks, outcomes, strict=True))
            self._checked_at_seconds = time.monotonic()
        return self.latest

    async def _outcome(self, name: str) -> str:
        late = f"no answer within {_CHECK_SECONDS:g} s"
        hanging = self._hanging.pop(name, None)
        if hanging is not None and not hanging.done():
            self._hanging[name] = hanging  # not repeated: each try would block one more thread on a dead disk
            return late
        check = asyncio.ensure_future(self._checks[name]())
        # A thread waiting for a disk cannot be cancelled, so the check is left behind instead of awaited.
        done, _ = await asyncio.wait([check], timeout=_CHECK_SECONDS)
        if not done:
            check.cancel()
            self._hanging[name] = check
            return late
        try:
            check.result()
        except MirrorError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a check that fails in any way is a check that fails
            _log.error("readiness check failed unexpectedly", check=name, exc_info=error)
            return "failed; the log has the cause"
        return "ok"


def _answer(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")
