"""Commands ``inspect``, ``lint`` and ``diff``, which read the plugin in a reference or folder."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.app.bundles.signature_check import SignatureCheck
from mirror.app.services import Services, open_services
from mirror.authoring.files.layout_reference import LayoutReference
from mirror.authoring.held_platforms import HeldPlatforms
from mirror.authoring.inspect import Inspection, inspect, provenance
from mirror.authoring.plugin_content import read_content, require_plugin
from mirror.oci import Digest, Manifest, Reference, Repository, Tag
from mirror.oci.errors import BlobUnknown, ConfigurationFault, ManifestUnknown, MirrorError, NotFound, RepositoryUnknown
from mirror.plugin.lint.plugin_view import PluginContent
from mirror.records.absent_content import AbsenceReason, AbsentContent, by_manifest
from mirror.records.derivations import Derivation
from mirror.registry.listing import all_tags
from mirror.registry.port import ReadLister
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.transfer.progress_reporting import Progress

if TYPE_CHECKING:
    from mirror.signing.signature_verification import VerifiedContent

#: Maximum number of events shown from the history of a tag.
_MOST_EVENTS = 20
#: Tags that are named to somebody who asked for none of them, the newest ones.
_MOST_TAGS = 20
_LATEST = Tag("latest")
_UNCHECKED = SignatureCheck()


async def inspect_reference(
    settings: Settings,
    reference: Reference | LayoutReference,
    progress: Progress | None,
    *,
    plain_http: bool = False,
    check: SignatureCheck = _UNCHECKED,
) -> Inspection:
    """Return the properties and known problems of the content that a reference names.

    Args:
        settings: location of the store, and limits for reading layers.
        reference: reference to a registry or an image layout file.
        progress: receiver of the bytes read of layers; None to leave layers unread.
        plain_http: see :func:`mirror.app.upstream_registries.open_anonymously`.
        check: check of the signatures if the layout file is a bundle.
    """
    limits = settings.server.limits.of_layers()
    async with _opened(settings, reference, check, plain_http=plain_http) as (reader, named, services):
        repository = named.repository
        # Records exist for content of the local store only.
        if services is None:
            return await inspect(reader, repository, named.target, progress=progress, limits=limits)
        records = services.store.records
        recorded = records.findings.recorded_findings
        found = await inspect(
            reader, repository, named.target, recorded, progress, limits=limits, readings=records.readings
        )
        origin, digest = await provenance(records.origins, records.sync_runs, found), found.manifest.digest
        if origin is not None and origin.how == "imported":
            seen = await records.bundle_exports.first_seen([digest])
            origin = replace(origin, first_seen=seen.get(digest))
        derivation = await records.derivations.derivation(digest)
        return replace(
            found,
            verified=await _verified(services, repository, digest),
            original=None if derivation is None else await _original(services, repository, derivation),
            origin=origin,
            history=await records.sync_runs.history(repository, named.tag, _MOST_EVENTS) if named.tag else (),
            derivation=derivation,
            admission=await services.standing.of(repository, found.manifest),
            platforms=HeldPlatforms.of(found.manifest, await _absent(services.store, repository, found.manifest)),
        )


async def _verified(services: Services, repository: Repository, digest: Digest) -> VerifiedContent | None:
    """Return the signatures of a manifest, verified with the keys of the admission rules. None if there are no keys."""
    keys = tuple(dict.fromkeys(services.key_files.keys.values()))
    if not keys:
        return None
    from mirror.admission.content_signing import verify_content

    store, patterns = services.store, services.settings.admission.signed_names
    names = await store.records.arrivals.names(repository, digest)
    now = SystemClock().now()
    return await verify_content(store, repository, digest, keys, names=names, patterns=patterns, now=now)


async def _original(services: Services, repository: Repository, made: Derivation) -> VerifiedContent | None:
    """Return the signatures of the original of a derived copy. None if this store does not hold the original.

    The command ``derive`` brings the original beside the copy, and leaves its signatures where the original was.
    """
    found = None
    for place in (repository, *([Repository(made.source)] if Repository.is_valid(made.source) else [])):
        with suppress(NotFound):
            await services.store.resolve(place, made.original)
            found = await _verified(services, place, made.original)
            if found is not None and found.signers:
                break
    return found


async def _absent(store: Store, repository: Repository, manifest: Manifest) -> list[AbsentContent]:
    """Return what the store lacks of a manifest and its members, and foreign layers that were never looked for."""
    recorded_by = by_manifest(await store.records.absent.absent_content(repository))
    named = dict.fromkeys([manifest.digest, *(member.digest for member in manifest.manifests)])
    absent = [each for digest in named for each in recorded_by.get(digest, ())]
    recorded = {each.digest for each in absent}
    for layer in manifest.foreign_layers:
        try:
            await store.stat_blob(repository, layer.digest)
        except BlobUnknown:
            if layer.digest not in recorded:
                absent.append(AbsentContent(manifest.digest, layer.digest, AbsenceReason.FOREIGN))
    return absent


async def read_plugin(
    settings: Settings,
    source: Reference | LayoutReference | Path,
    progress: Progress,
    *,
    plain_http: bool = False,
    check: SignatureCheck = _UNCHECKED,
) -> PluginContent:
    """Return the whole content of a plugin from a registry, an image layout file or a folder.

    Args:
        settings: location of the store, and limits for reading layers.
        source: reference to the plugin, or its folder.
        progress: receiver of the bytes read of layers.
        plain_http: see :func:`mirror.app.upstream_registries.open_anonymously`.
        check: check of the signatures if the layout file is a bundle.

    Raises:
        ManifestInvalid: the content is not a plugin.
        MirrorError: the registry or the folder cannot be read.
    """
    if isinstance(source, Path):
        from mirror.authoring.files.plugin_folder import read_plugin_folder

        return await read_plugin_folder(source)
    limits = settings.server.limits.of_layers()
    async with _opened(settings, source, check, plain_http=plain_http) as (reader, named, services):
        manifest = await reader.get_manifest(named.repository, named.target)
        require_plugin(manifest, str(source))
        readings = None if services is None else services.store.records.readings
        content = await read_content(reader, named.repository, manifest, progress, limits=limits, readings=readings)
        # Verdicts and decisions about the plugin come before the findings of lint.
        withheld = () if services is None else await services.standing.findings(named.repository, manifest)
        return replace(content, findings=(*withheld, *content.findings))


@asynccontextmanager
async def _opened(
    settings: Settings, reference: Reference | LayoutReference, check: SignatureCheck, *, plain_http: bool
) -> AsyncIterator[tuple[ReadLister, Reference, Services | None]]:
    """Open the place that a reference names.

    Yields:
        The reader, the reference within the reader, and the services of the local store (None for other places).
    """
    if isinstance(reference, LayoutReference):
        from mirror.app.bundles.bundle_opening import open_layout

        async with (
            open_layout(settings, reference.file, check) as layout,
            _tags_in_fault(layout, reference.reference),
        ):
            yield layout, reference.reference, None
    elif reference.host is not None:
        from mirror.app.upstream_registries import open_anonymously

        async with (
            open_anonymously(reference.host, plain_http=plain_http) as remote,
            _tags_in_fault(remote, reference),
        ):
            yield remote, reference, None
    else:
        try:
            async with (
                open_services(settings, only_reads=True) as services,
                _tags_in_fault(services.store, reference),
            ):
                yield services.store, reference, services
        except (ConfigurationFault, RepositoryUnknown) as fault:
            if reference.target != _LATEST:
                raise
            # A path without ./ is taken for a name if nothing of a plugin is there.
            path = f"for a folder or file, check the path ./{reference.repository}"
            raise type(fault)(f"{fault}; {path}", **fault.detail) from fault


@asynccontextmanager
async def _tags_in_fault(registry: ReadLister, reference: Reference) -> AsyncIterator[None]:
    """Add the tags of the repository to the error inside the block if it lacks the tag that is asked for."""
    try:
        yield
    except ManifestUnknown as unknown:
        tags = await _newest_tags(registry, reference.repository) if isinstance(reference.target, Tag) else ()
        if not tags:
            raise
        more = f", and {len(tags) - _MOST_TAGS} more" if len(tags) > _MOST_TAGS else ""
        raise ManifestUnknown(
            f"{replace(reference, tag=None)} has no tag {reference.target}; fix: name one of its tags: "
            f"{', '.join(map(str, tags[:_MOST_TAGS]))}{more}",
            **unknown.detail,
        ) from unknown


async def _newest_tags(registry: ReadLister, repository: Repository) -> Sequence[Tag]:
    from mirror.transfer.tags.tag_selection import newest_first

    try:
        return newest_first([tag async for tag in all_tags(registry, repository)])
    except MirrorError:  # a registry need not list tags
        return ()


def advertised_host(settings: Settings) -> str:
    """Return ``HOST:PORT`` at which Docker hosts reach this server.

    The host is the configured address, or the name of this machine if the server listens on all addresses.
    """
    listen_on = settings.server.listen
    if listen_on.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return f"{socket.gethostname()}:{listen_on.port}"
    return str(listen_on)
