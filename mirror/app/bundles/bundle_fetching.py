"""Fetch of a bundle from other registries, without a store."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mirror.app.bundles.bundle_exporting import check_serial, check_stream
from mirror.app.bundles.bundle_receipts import load_receipt
from mirror.app.upstream_registries import open_remote
from mirror.bundle.delta.delta_base import DeltaBase
from mirror.bundle.export.export_request import Exported, ExportRequest
from mirror.bundle.export.exporting import export_bundle, plan_export
from mirror.bundle.export.fetch_sources import default_stream, fetch_sources, next_serial
from mirror.bundle.trust.key_set_files import load_key_sets
from mirror.bundle.trust.signing_key_files import load_signing_key
from mirror.oci import Reference
from mirror.oci.name_mapping import NameMapping
from mirror.registry.port import ReadLister
from mirror.runtime.clock import Clock, SystemClock
from mirror.settings import Settings
from mirror.transfer.graph.content_choice import EVERYTHING, ContentChoice
from mirror.transfer.progress_reporting import Progress
from mirror.upstream.auth.login_files import find_docker_login
from mirror.wire.registry_url import registry_host

_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """Bundle to fetch.

    Attributes:
        output: the file of the bundle.
        references: the content. A reference without a host is one of Docker Hub.
        keys: files with the private keys that sign; empty for an unsigned bundle.
        key_sets: files of key sets.
        since: file of the receipt of the receiver, for a delta; None for a full bundle.
        choice: choice of the members of indexes.
        mappings: mappings of names at the registries to names in the bundle.
        stream: stream of the bundle; None for the stream of the first key.
        serial: serial of the bundle; None for the seconds since 1970.
        plain_http: True to use ``http://``. Loopback hosts always use ``http://``.
        part_bytes: size of the parts to write in place of one file; None for one file.
        verify_written: see :class:`mirror.bundle.export.export_request.ExportRequest`.
    """

    output: Path
    references: tuple[Reference, ...]
    keys: tuple[Path, ...] = ()
    key_sets: tuple[Path, ...] = ()
    since: Path | None = None
    choice: ContentChoice = EVERYTHING
    mappings: tuple[NameMapping, ...] = ()
    stream: str | None = None
    serial: int | None = None
    plain_http: bool = False
    part_bytes: int | None = None
    verify_written: bool | None = None


async def fetch_bundle(settings: Settings, request: FetchRequest, progress: Progress) -> Exported:
    """Write a bundle with content of other registries. An interrupted fetch goes on where it was.

    Args:
        settings: configured upstreams, whose logins and limits are used for their hosts.
        request: the bundle.
        progress: receiver of the progress in bytes.

    Raises:
        ConfigurationFault: a key, the receipt or a mapping is unusable, or two references become one name.
        BundleInvalid: the receipt is not a receipt.
        UpstreamFault, NotFound: a registry failed, or lacks the content.
        StorageFault: the file cannot be written.
    """
    async with _prepared(settings, request) as export:
        return await export_bundle(export, progress)


async def plan_fetch(settings: Settings, request: FetchRequest) -> Exported:
    """Return what :func:`fetch_bundle` would write. Nothing is written. Raises the same errors."""
    async with _prepared(settings, request) as export:
        return await plan_export(export)


@asynccontextmanager
async def _prepared(settings: Settings, request: FetchRequest, clock: Clock = _CLOCK) -> AsyncIterator[ExportRequest]:
    keys = [await load_signing_key(path) for path in request.keys]
    receipt = None if request.since is None else await load_receipt(request.since)
    if request.stream is not None:
        check_stream(request.stream)
    serial = check_serial(request.serial)
    stream = request.stream or default_stream(keys[0].public.key_id if keys else None)
    now = clock.now().replace(microsecond=0)

    async with AsyncExitStack() as stack:
        registries: dict[str, ReadLister] = {}
        for reference in request.references:
            if (host := registry_host(reference)) not in registries:
                login = await find_docker_login(os.environ, host)
                opened = open_remote(
                    settings, host, plain_http=request.plain_http, login=login, login_advice=f"docker login {host}"
                )
                registries[host] = await stack.enter_async_context(opened)
        yield ExportRequest(
            output=request.output,
            sources=fetch_sources(request.references, registries, request.mappings, now),
            stream=stream,
            serial=serial,
            next_serial=next_serial(now, receipt, stream),
            created=now,
            keys=keys,
            key_sets=await load_key_sets(request.key_sets),
            base=None if receipt is None else DeltaBase.from_receipt(receipt),
            choice=request.choice,
            part_bytes=request.part_bytes,
            verify_written=request.verify_written,
        )
