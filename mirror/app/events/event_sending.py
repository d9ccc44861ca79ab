"""Endpoints of the configuration, and the background work that sends events to them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
from mirror.runtime.system_errors import connection_words
from mirror.settings import Settings
from mirror.settings.event_settings import EventSettings
from mirror.store.registry import Store
from mirror.store.work_locks import StorageLocks
from mirror.upstream.http.forbidden_destinations import DestinationGuard, kind_of

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()
_PERIOD_SECONDS: Final = 1.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=5)
#: Bytes of an answer that are read. An endpoint has nothing to say but a status.
_MOST_ANSWER_BYTES: Final = 64 * 1024
_NAMED_AT: Final = "plugin-mirror"


def readers_of_changes(settings: Settings) -> list[str]:
    """Return the names of all readers of changes."""
    readers = [READER] if settings.audit.enabled else []
    return readers + [_endpoint(each).reader for each in settings.events]


def event_chores(settings: Settings, store: Store) -> list[Chore]:
    """Return the background work on events: none without endpoints."""
    return [partial(_send_events, settings, each, store) for each in settings.events]


def secret_faults(endpoints: Sequence[EventSettings]) -> list[str]:
    """Return a sentence for each file of secrets that cannot be used. Blocks."""
    faults = []
    for each in endpoints:
        try:
            _read_secrets(each.secret_file)
        except ConfigurationFault as fault:
            faults.append(f"events: {each.shown_name} gets no events: {fault}")
    return faults


async def _send_events(settings: Settings, endpoint: EventSettings, store: Store) -> None:
    """Send events to an endpoint until cancelled. One process at a time does so."""
    locks, name = StorageLocks(settings.storage.path.expanduser()), endpoint.shown_name
    records = store.records
    while True:
        try:
            async with locks(f"events.{name}"), posting(endpoint) as post:
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


@asynccontextmanager
async def posting(endpoint: EventSettings) -> AsyncIterator[Post]:
    """Yield the function that sends a request to an endpoint.

    Redirects are not followed. A name that leads to this machine, its link or the metadata service of a cloud is
    refused, unless the URL itself has such an address.

    Raises:
        ConfigurationFault: the file with the CA cannot be read.
    """
    named = kind_of(URL(endpoint.url).host or "")
    guard = DestinationGuard([named] if named else [])
    connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(_context, endpoint.ca), socket_factory=guard.socket)
    headers = {"User-Agent": f"plugin-mirror/{__version__}"}
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, headers=headers) as session:

        async def post(url: str, headers: dict[str, str], body: bytes) -> int:
            try:
                async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                    await answer.content.read(_MOST_ANSWER_BYTES)
                    return answer.status
            except TimeoutError as error:
                raise PostFailed(f"no answer within {_TIMEOUT.total:.0f} s") from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                cause = getattr(error, "os_error", error)
                why = connection_words(cause) if isinstance(cause, OSError) else "the answer is not HTTP"
                raise PostFailed(why) from error

        yield post


def _context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigurationFault(f"events: ca: {ca} cannot be used: {error}") from error


def _endpoint(settings: EventSettings) -> Endpoint:
    return Endpoint(settings.shown_name, settings.url, settings.on, partial(_read_secrets, settings.secret_file))


def _read_secrets(path: Path) -> Sequence[WebhookSecret]:
    try:
        with path.expanduser().open("rb") as file:
            return parse_secrets(file.read(MOST_FILE_BYTES + 1), str(path))
    except OSError as error:
        raise ConfigurationFault(f"{path} cannot be read: {error.strerror}") from error
