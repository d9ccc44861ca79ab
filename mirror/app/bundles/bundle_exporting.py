"""Export of content of the local store to a bundle."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror.app.bundles.bundle_receipts import load_receipt
from mirror.app.services import Services, open_services
from mirror.bundle.delta.delta_base import DeltaBase
from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.export.export_request import Exported, ExportRequest, ExportSource
from mirror.bundle.export.exporting import export_bundle, plan_export
from mirror.bundle.format.bundle_head import read_recorded_head
from mirror.bundle.format.statement import MOST_SERIAL, NameOrigin, is_stream
from mirror.bundle.trust.key_set_files import load_key_sets
from mirror.bundle.trust.signing_key_files import load_signing_key
from mirror.lifecycle.content_holding import holding
from mirror.oci import Digest, Manifest, Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.platform_selection import PlatformSelection
from mirror.records.bundle_exports import BundleExports, ExportRecord, TagSource
from mirror.records.lifecycle.content_holders import HolderPurpose
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.listing import all_repositories, all_tags
from mirror.registry.port import Registry
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.transfer.graph.content_choice import ContentChoice
from mirror.transfer.progress_reporting import Progress
from mirror.wire.referrers_fallback import is_digest_tag

_NOT_IN_STREAM: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_HOST_LENGTH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """Order of a user to export a bundle.

    Attributes:
        output: the file.
        references: names of the local store.
        rules: mirror rules whose tags are exported.
        everything: True to export all tags of the store.
        platforms: platforms of the members of indexes; empty for all.
        since: file of a receipt, or a serial; None for a full bundle.
        stream: stream; None for the stream of the last export.
        serial: serial; None for the next one.
        keys: files of private keys; empty for an unsigned bundle.
        key_sets: files of key sets.
        part_bytes: size of the parts to write in place of one file; None for one file.
        verify_written: True to read the file back; None to do so on removable media only.
    """

    output: Path
    references: Sequence[str] = ()
    rules: Sequence[str] = ()
    everything: bool = False
    platforms: Sequence[str] = ()
    since: str | None = None
    stream: str | None = None
    serial: int | None = None
    keys: Sequence[Path] = ()
    key_sets: Sequence[Path] = ()
    part_bytes: int | None = None
    verify_written: bool | None = None


async def export_from_store(settings: Settings, order: ExportOrder, progress: Progress) -> Exported:
    """Export a bundle, see :func:`mirror.bundle.export.exporting.export_bundle`.

    Raises:
        ConfigurationFault: the order cannot be carried out as it stands.
    """
    async with _request(settings, order) as request:
        return await export_bundle(request, progress)


async def plan_from_store(settings: Settings, order: ExportOrder) -> Exported:
    """Return what :func:`export_from_store` would write. Nothing is written, so the data folder may be read-only."""
    async with _request(settings, order, only_reads=True) as request:
        return await plan_export(request)


def check_stream(stream: str) -> str:
    """Return the name of a stream that a user gave. Raises ConfigurationFault if it is outside the grammar."""
    if not is_stream(stream):
        raise ConfigurationFault(
            f"--stream {stream!r} is not the name of a stream; fix: use at most 128 letters, digits and . _ -"
        )
    return stream


def check_serial(serial: int | None) -> int | None:
    """Return the serial that a user gave; None if none was given. Raises ConfigurationFault if it is out of range."""
    if serial is not None and not 0 < serial <= MOST_SERIAL:
        raise ConfigurationFault(f"--serial {serial} is out of range; fix: write a number from 1 to {MOST_SERIAL}")
    return serial


class ServedContent(DelegatingRegistry):
    """Content of a store whose plugins are judged when their manifests are read.

    The blobs of a plugin that is served are served too, so they are read without further questions.

    Args:
        store: the store.
        withheld: the store as clients see it.
    """

    def __init__(self, store: Registry, withheld: Registry) -> None:
        super().__init__(store)
        self._withheld = withheld

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        return await self._withheld.get_manifest(repository, target)


@asynccontextmanager
async def _request(settings: Settings, order: ExportOrder, *, only_reads: bool = False) -> AsyncIterator[ExportRequest]:
    if order.stream is not None:
        check_stream(order.stream)
    serial = check_serial(order.serial)
    choice = ContentChoice(PlatformSelection.parse(order.platforms))
    keys = [await load_signing_key(path) for path in order.keys]
    key_sets = await load_key_sets(order.key_sets)
    async with open_services(settings, must_exist=True, only_reads=only_reads) as services:
        exports = services.store.records.bundle_exports
        stream = order.stream or await _last_stream(exports)
        last = await exports.last_export(stream)
        _require_later(serial, last)
        receipt = None if order.since is None or order.since.isdecimal() else await load_receipt(Path(order.since))
        # The receiver may have come further than the records here, if they were lost or are from a backup.
        received = 0 if receipt is None else receipt.serial_of(stream) or 0
        request = ExportRequest(
            output=order.output,
            sources=await _sources(services, order),
            stream=stream,
            next_serial=max(0 if last is None else last.serial, received) + 1,
            created=SystemClock().now(),
            serial=serial,
            previous=last.statement if last is not None and last.serial >= received else None,
            keys=keys,
            key_sets=key_sets,
            base=None if order.since is None else await _base(exports, stream, receipt or int(order.since)),
            choice=choice,
            exports=exports,
            part_bytes=order.part_bytes,
            verify_written=order.verify_written,
        )
        if only_reads:
            yield request
            return
        held = {(source.repository, None) for source in request.sources}
        async with holding(services.store.records.holders, HolderPurpose.EXPORT, order.output.name, held):
            yield request


async def _last_stream(exports: BundleExports) -> str:
    last = await exports.last_export()
    if last is not None:
        return last.stream
    host = _NOT_IN_STREAM.sub("-", socket.gethostname()).strip("-._")[:_MOST_HOST_LENGTH]
    return f"{host or 'mirror'}-{secrets.token_hex(4)}"


def _require_later(serial: int | None, last: ExportRecord | None) -> None:
    if serial is not None and last is not None and serial < last.serial:
        raise ConfigurationFault(
            f"--serial {serial}: the stream {last.stream} has come to serial {last.serial}; fix: use a higher serial"
        )


async def _base(exports: BundleExports, stream: str, since: Receipt | int) -> DeltaBase:
    """Return the content that the receiver of a delta has, by its receipt or a serial."""
    if isinstance(since, Receipt):
        serial, base = since.serial_of(stream) or 0, DeltaBase.from_receipt(since)
    else:
        serial, base = since, await _base_of_exports(exports, stream, since)
    later = [
        named
        for record in await exports.exports_between(stream, serial + 1, MOST_SERIAL)
        for named in (await read_recorded_head(record.head)).names
    ]
    return base.unsure_of(later)


async def _base_of_exports(exports: BundleExports, stream: str, serial: int) -> DeltaBase:
    """Return the content that a receiver of all bundles up to a serial has."""
    earlier = await exports.exports_between(stream, 1, min(serial, MOST_SERIAL))
    if not earlier or earlier[-1].serial != serial:
        known = f"its last one up to there has serial {earlier[-1].serial}" if earlier else "it has none up to there"
        raise ConfigurationFault(
            f"--since {serial}: the stream {stream} has no bundle with this serial, {known}; "
            "fix: name a serial that was exported here, or a receipt"
        )
    heads = [await read_recorded_head(record.head) for record in earlier]
    return DeltaBase.from_exports(serial, [(head.statement, head.names) for head in heads])


async def _sources(services: Services, order: ExportOrder) -> tuple[ExportSource, ...]:
    store = services.store
    known = await store.records.bundle_exports.tag_sources()
    registry = ServedContent(store, services.withheld(store))
    found: dict[str, ExportSource] = {}

    def add(repository: Repository, tag: Tag | None, target: Tag | Digest, *, required: bool = False) -> None:
        origin = None if tag is None else _origin(known.get((repository, tag)))
        one = ExportSource(registry, repository, target, repository, tag, origin, store.records.absent, required)
        if required or str(one) not in found:
            found[str(one)] = one

    for text in order.references:
        reference = Reference.parse(text)
        if reference.host is not None:
            raise ConfigurationFault(
                f"{text} is at {reference.host}, and 'bundle export' reads the local store; fix: use "
                f"'plugin-mirror fetch -o {order.output} {text}', or leave {reference.host}/ out"
            )
        add(reference.repository, reference.tag, reference.target, required=True)
    for rule in order.rules:
        brought = [key for key, tag_source in known.items() if tag_source.rule == rule]
        if not brought:
            raise ConfigurationFault(
                f"no tag here was brought by a rule {rule!r}; fix: run 'plugin-mirror sync {rule}' first, "
                "or see 'plugin-mirror status' for the names of rules"
            )
        for repository, tag in brought:
            add(repository, tag, tag)
    if order.everything:
        async for repository, tag in _all_names(store):
            add(repository, tag, tag)
    return tuple(found.values())


async def _all_names(registry: Registry) -> AsyncIterator[tuple[Repository, Tag]]:
    async for repository in all_repositories(registry):
        async for tag in all_tags(registry, repository):
            # Each registry makes its own index of referrers. Signatures of cosign have an ending.
            if not is_digest_tag(tag) or "." in tag.name:
                yield repository, tag


def _origin(found: TagSource | None) -> NameOrigin | None:
    return None if found is None else NameOrigin(found.source, found.brought_at)
