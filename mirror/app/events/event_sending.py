"""Endpoints of the configuration, and the background work that sends events to them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
import structlog
from yarl import URL

from mirror import __version__
from mirror.app.storage.upkeep_chores import Chore
from mirror.events.audit_writer import READER
from mirror.events.event_sender import Endpoint, EventSender, Post, PostFailed
from mirror.events.webhook_signing import MOST_FILE_BYTES, WebhookSecret, parse_secrets
from mirror.oci.errors import Busy, ConfigurationFault, MirrorError
from mirror.runtime.clock import SystemClock
from mirror.runtime.error_advice import advised, split_fix
from mirror.runtime.files.reloading_file import ReloadingFile
from mirror.runtime.system_errors import certificate_words
from mirror.settings import Settings
from mirror.settings.event_settings import EventSettings
from mirror.settings.loading.unusable_files import without_secret_paths
from mirror.store.registry import Store
from mirror.store.work_locks import StorageLocks
from mirror.upstream.http.forbidden_destinations import DestinationGuard, kind_of
from mirror.upstream.http.response_guard import guarded
from mirror.upstream.http.upstream_errors import connection_fault

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_PERIOD_SECONDS: Final = 1.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=5)
#: Events of an endpoint that is no longer in the configuration are kept for this time after their change.
_FORMER_KEPT: Final = timedelta(days=7)
_FORMER_PERIOD_SECONDS: Final = 3600.0
_NAMED_AT: Final = "plugin-mirror"


def readers_of_changes(settings: Settings) -> list[str]:
    """Return the names of all readers of changes."""
    readers = [READER] if settings.audit.enabled else []
    return readers + [_endpoint(each).reader for each in settings.events]


def event_chores(settings: Settings, store: Store) -> list[Chore]:
    """Return the background work on events."""
    return [
        *(partial(_send_events, settings, each, store) for each in settings.events),
        partial(_forget_endpoints, settings, store),
    ]


def endpoint_faults(endpoints: Sequence[EventSettings]) -> Iterator[tuple[int, str, str]]:
    """Yield number, from 0, key and a sentence for each secret or CA of an endpoint that cannot be used. Blocks."""
    for number, each in enumerate(endpoints):
        for key, read in (
            ("secret_file", partial(_read_secrets, each.secret_file)),
            ("ca", partial(_context, each.ca)),
        ):
            try:
                read()
            except ConfigurationFault as fault:
                told, fix = split_fix(advised(fault))
                yield number, key, f"{told}, so {each.shown_name} gets no events; fix: {fix}"


async def _send_events(settings: Settings, endpoint: EventSettings, store: Store) -> None:
    """Send events to an endpoint until cancelled. One process at a time does so."""
    locks, name = StorageLocks(settings.storage.path), endpoint.shown_name
    records, is_first = store.records, True
    while True:
        try:
            async with locks(f"events.{name}"), posting(endpoint) as post:
                if is_first:  # a fault would otherwise be known at the first event only
                    await asyncio.to_thread(_log_faults, settings, endpoint)
                    is_first = False
                sender = EventSender(
                    _endpoint(endpoint),
                    records.changes,
                    records.deliveries,
                    post,
                    _CLOCK,
                    source=settings.server.url or _NAMED_AT,
                    readers=readers_of_changes(settings),
                )
                while True:
                    if not await sender.round():
                        await asyncio.sleep(_PERIOD_SECONDS)
        except Busy:
            pass  # another process sends them
        except (MirrorError, OSError) as error:
            # Events wait in the catalog, and the next round tries again.
            _LOG.error("events could not be sent", endpoint=name, error=str(error))
            await asyncio.sleep(10 * _PERIOD_SECONDS)
        await asyncio.sleep(_PERIOD_SECONDS)


def _log_faults(settings: Settings, endpoint: EventSettings) -> None:
    for _, key, told in endpoint_faults([endpoint]):
        reason = without_secret_paths(settings, f"{key}: {told}")
        _LOG.error("endpoint of events cannot be used", endpoint=endpoint.shown_name, reason=reason)


@asynccontextmanager
async def posting(endpoint: EventSettings) -> AsyncIterator[Post]:
    """Yield the function that sends a request to an endpoint.

    Redirects are not followed. A name that leads to this machine, its link or the metadata service of a cloud is
    refused, unless the URL itself has such an address. A CA that cannot be read makes the attempts fail.
    """
    named = kind_of(URL(endpoint.url).host or "")
    guard = DestinationGuard([named] if named else [])
    context: ReloadingFile[ssl.SSLContext] | None = None
    async with aiohttp.ClientSession(
        connector=guarded(aiohttp.TCPConnector(socket_factory=guard.socket, force_close=True)),
        timeout=_TIMEOUT,
        headers={"User-Agent": f"plugin-mirror/{__version__}"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:

        async def post(url: str, headers: dict[str, str], body: bytes) -> int:
            nonlocal context
            if context is None:
                context = await asyncio.to_thread(_contexts, endpoint.ca)
            sending = session.post(url, data=body, headers=headers, allow_redirects=False, ssl=await context.current())
            try:
                async with sending as answer:
                    return answer.status  # the body is not read: an endpoint has nothing to say but a status
            except (aiohttp.ClientError, OSError, ValueError) as error:
                is_late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
                late = f"no answer within {_TIMEOUT.total:.0f} s"
                why = connection_fault(error, ca_setting=f"events[{endpoint.shown_name}].ca")[1]
                raise PostFailed(late if is_late else why) from error

        yield post


def _contexts(ca: Path | None) -> ReloadingFile[ssl.SSLContext]:
    return ReloadingFile("CA of an endpoint", [ca] if ca else [], partial(_context, ca), _CLOCK)


def _context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigurationFault(f"{ca} cannot be used: {certificate_words(error)}") from error


async def _forget_endpoints(settings: Settings, store: Store) -> None:
    """Remove events of endpoints that are no longer in the configuration, until cancelled."""
    names, records = [each.shown_name for each in settings.events], store.records.deliveries
    while True:
        try:
            if any(one.endpoint not in names for one in await records.counts()):
                removed = await records.forget(names, _CLOCK.now() - _FORMER_KEPT)
                if removed:
                    _LOG.warning("events of former endpoints removed", count=removed)
        except MirrorError as error:  # the next round tries again
            _LOG.error("events of former endpoints could not be removed", error=str(error))
        await asyncio.sleep(_FORMER_PERIOD_SECONDS)


def _endpoint(settings: EventSettings) -> Endpoint:
    return Endpoint(settings.shown_name, settings.url, settings.on, partial(_read_secrets, settings.secret_file))


def _read_secrets(path: Path) -> Sequence[WebhookSecret]:
    try:
        with path.open("rb") as file:
            return parse_secrets(file.read(MOST_FILE_BYTES + 1), str(path))
    except OSError as error:
        raise ConfigurationFault(f"{path} cannot be read: {error.strerror}") from error
