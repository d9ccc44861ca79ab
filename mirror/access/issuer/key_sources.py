"""Sources of the keys of a token issuer: a file, or a URL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import structlog

from mirror.access.issuer.issuer_metrics import KeyFetchOutcome
from mirror.access.issuer.jwk_set import MOST_BYTES, JwkSet
from mirror.oci.errors import ConfigurationFault
from mirror.runtime.clock import Clock
from mirror.runtime.error_advice import file_words
from mirror.runtime.files.reloading_file import ReloadingFile

_LOG = structlog.get_logger(__name__)

#: Time between two fetches of a key set, in seconds.
REFRESHED_EVERY_SECONDS: Final = 300.0
#: Least time between two fetches, in seconds. Tokens name keys as they like, so they must not cause many fetches.
LEAST_SECONDS_BETWEEN: Final = 60.0


class KeySource(Protocol):
    """Port that gives the keys of a token issuer."""

    async def current(self) -> JwkSet:
        """Return the keys, without waiting for the issuer."""
        ...

    async def newer(self) -> JwkSet:
        """Return the keys after a look at their source, because a token names a key that is not among the current ones.

        The keys may be the current ones: the source failed, or has been looked at a short time ago.
        """
        ...


class KeyFile:
    """Keys in a file, which is read again after it changes. Implements :class:`KeySource`.

    Args:
        path: path of the file.
        clock: determines when to look at the file again.

    Raises:
        ConfigurationFault: the file cannot be read, or is no usable key set.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._file = ReloadingFile("token issuer keys", [path], self._read, clock)

    async def current(self) -> JwkSet:
        return await self._file.current()

    async def newer(self) -> JwkSet:
        return await self._file.newest()

    def _read(self) -> JwkSet:
        try:
            with self._path.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise ConfigurationFault(
                f"server.token_issuer.jwks: {self._path} cannot be read: {file_words(error)}"
            ) from error
        if len(content) > MOST_BYTES:
            raise ConfigurationFault(f"server.token_issuer.jwks: {self._path} is larger than {MOST_BYTES} bytes")
        return JwkSet.parse(content, f"server.token_issuer.jwks: {self._path}")


class FetchedKeys:
    """Keys at a URL. Implements :class:`KeySource`.

    If a fetch fails, the last keys stay in use. The first failure and the next success are logged.

    Args:
        url: the URL, for the log.
        fetch: fetches the content.
        clock: source of the monotonic time.
        counted: counts fetches.
    """

    def __init__(
        self,
        url: str,
        fetch: Callable[[], Awaitable[bytes]],
        clock: Clock,
        counted: Callable[[KeyFetchOutcome], None],
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._counted = counted
        self._keys = JwkSet()
        self._fetched_at_seconds = -LEAST_SECONDS_BETWEEN
        self._turn = asyncio.Lock()
        self._has_failed = False

    async def current(self) -> JwkSet:
        return self._keys

    async def newer(self) -> JwkSet:
        async with self._turn:  # whoever waits here gets what the first one fetches
            if self._clock.monotonic_seconds() - self._fetched_at_seconds >= LEAST_SECONDS_BETWEEN:
                await self._refresh()
        return self._keys

    async def follow(self) -> None:
        """Fetch the keys now, and every five minutes until cancelled; every minute while that fails."""
        while True:
            await self.newer()
            await asyncio.sleep(LEAST_SECONDS_BETWEEN if self._has_failed else REFRESHED_EVERY_SECONDS)

    async def _refresh(self) -> None:
        self._fetched_at_seconds = self._clock.monotonic_seconds()
        try:
            self._keys = JwkSet.parse(await self._fetch(), self._url)
        except Exception as error:  # noqa: BLE001 - whatever the issuer answers, it must not end the program
            if not self._has_failed:
                reason = str(error) or repr(error)
                _LOG.warning("keys of the token issuer not fetched, last keys stay in use", error=reason)
            self._has_failed = True
            self._counted(KeyFetchOutcome.FAILED)
        else:
            if self._has_failed:
                _LOG.info("keys of the token issuer fetched", url=self._url)
            self._has_failed = False
            self._counted(KeyFetchOutcome.FETCHED)
