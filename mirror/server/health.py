"""``/healthz``: the process answers. ``/readyz``: what it stands on works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from mirror.oci.errors import MirrorError

_log = structlog.get_logger(__name__)

#: Raises where something is not ready; says nothing where it is.
Check = Callable[[], Awaitable[object]]

_CHECK_SECONDS = 5.0


class Health:
    """Answers those who watch over the process.

    Args:
        checks: what readiness depends on, by name.
    """

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)

    async def alive(self, _request: web.Request) -> web.Response:
        """200, always."""
        return _answer(200, {"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200 where every check passes, else 503; the body names each with its outcome."""
        outcomes = await asyncio.gather(*(_outcome(name, check) for name, check in self._checks.items()))
        passed = all(outcome == "ok" for outcome in outcomes)
        named = dict(zip(self._checks, outcomes, strict=True))
        return _answer(200 if passed else 503, {"status": "ok" if passed else "failed", "checks": named})


async def _outcome(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check()
    except MirrorError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - a check that fails in any way is a check that fails
        _log.error("readiness check failed unexpectedly", check=name, exc_info=error)
        return "failed; the log has the cause"
    return "ok"


def _answer(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")
