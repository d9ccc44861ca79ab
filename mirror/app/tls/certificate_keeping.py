"""Renewal of the server certificate by the server: before it starts, and in the background."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import Final

import structlog

from mirror.access.certificates.certificate_folder import ServerFiles
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.certificate_renewal import renew_if_due, require_renewable
from mirror.access.certificates.pem_files import read_certificates
from mirror.app.storage.upkeep_chores import Chore
from mirror.oci.timestamps import machine_time
from mirror.runtime import logs
from mirror.runtime.clock import Clock, SystemClock
from mirror.runtime.concurrency.threads import in_thread
from mirror.settings import Settings

_LOG = structlog.get_logger(__name__)
#: A look reads one small file.
_PERIOD_SECONDS: Final = 10.0
_DAY_SECONDS: Final = 86_400.0
#: Two servers with different clocks could renew one certificate in turns without end.
_MOST_RENEWALS_A_DAY: Final = 3


def certificate_chores(settings: Settings, place: int) -> list[Chore]:
    """Return the background work on the server certificate: none without ``server.tls.ca_key``.

    Args:
        settings: settings of the server.
        place: number of the process among all workers. The first one does the work.
    """
    files = renewable_files(settings)
    return [] if files is None or place else [CertificateKeeper(files, SystemClock()).run]


def renewable_files(settings: Settings) -> ServerFiles | None:
    """Return the files of a certificate that the server renews, or None if it does not."""
    tls = settings.server.tls
    if tls is None or tls.ca is None or tls.ca_key is None:
        return None
    return ServerFiles(tls.certificate, tls.key, tls.ca, tls.ca_key)


def renew_before_start(settings: Settings) -> None:
    """Renew the server certificate if it is due, so that a server that was off for months serves a valid one. Blocks.

    A renewal that fails is logged. The former certificate may still be valid.

    Raises:
        ConfigurationFault: the files of the CA and its certificate do not belong together or cannot be read.
    """
    tls, files = settings.server.tls, renewable_files(settings)
    if tls is not None and tls.ca is not None:
        read_certificates(tls.ca, "server.tls.ca")  # told once here, and not by each worker
    if files is None:
        return
    require_renewable(files)
    with logs.configured(settings.log.level, settings.log.format):
        folder = files.certificate.parent
        if not os.access(folder, os.W_OK, effective_ids=True):
            _LOG.warning(
                "server certificate will not be renewed",
                reason=f"{folder} is not writable",
                fix="let the user of the server write there, or keep the files in the folder tls of the data folder",
            )
        asyncio.run(CertificateKeeper(files, SystemClock()).look())


class CertificateKeeper:
    """Renews the certificate of a server when a third of its lifetime is left.

    Args:
        files: the files.
        clock: source of the time.
    """

    def __init__(self, files: ServerFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._renewed_at: deque[float] = deque(maxlen=_MOST_RENEWALS_A_DAY)
        self._warned: tuple[str, float] | None = None

    async def run(self) -> None:
        """Look at the certificate every ten seconds until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Renew the certificate if it is due. Log the result, and a failure once a day."""
        now_seconds = self._clock.monotonic_seconds()
        if self._has_renewed_enough(now_seconds):
            return
        try:
            new = await in_thread(renew_if_due, self._files, self._clock.now())
        except Exception as error:  # noqa: BLE001 - whatever is in a file, it must not end the server
            self._warn(str(error) or repr(error), now_seconds)
            return
        if new is None:
            return
        _LOG.info(
            "server certificate renewed",
            file=str(self._files.certificate),
            names=list(CertificateNames.of(new)),
            expires=machine_time(new.not_valid_after_utc),
        )
        self._renewed_at.append(now_seconds)
        if self._has_renewed_enough(now_seconds):
            _LOG.warning(
                "server certificate renewed too often",
                times=_MOST_RENEWALS_A_DAY,
                fix="set the clocks of all machines that use this certificate; the server renews it again after a day",
            )

    def _has_renewed_enough(self, now_seconds: float) -> bool:
        return len(self._renewed_at) == _MOST_RENEWALS_A_DAY and now_seconds - self._renewed_at[0] < _DAY_SECONDS

    def _warn(self, reason: str, now_seconds: float) -> None:
        if self._warned is not None:
            told, at_seconds = self._warned
            if told == reason and now_seconds - at_seconds < _DAY_SECONDS:
                return
        self._warned = reason, now_seconds
        _LOG.warning("server certificate not renewed", error=reason)
