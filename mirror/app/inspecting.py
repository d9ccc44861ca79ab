"""``inspect``, ``lint`` and ``diff``: what a reference stands for, or a folder holds."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

from mirror.app.deciding import policy_of
from mirror.app.stores import judging, open_reader, open_store
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Repository
from mirror.plugin.findings import Finding
from mirror.plugin.lint.manifest_findings import PLUGIN_WITHHELD
from mirror.plugin.view import PluginContent
from mirror.registry.admissions import Admission, State
from mirror.settings import Settings
from mirror.store.registry import Store
from mirror.transfer.progress import Progress
from mirror.workshop.folder import read_plugin_folder
from mirror.workshop.inspect import Inspection, Provenance, inspect
from mirror.workshop.layout_reader import LayoutReader, LayoutReference
from mirror.workshop.reading import read_content, require_plugin

#: Events of a tag's history that are shown.
_MOST_EVENTS = 20


async def inspect_reference(
    settings: Settings, reference: Reference | LayoutReference, progress: Progress | None, *, plain_http: bool = False
) -> Inspection:
    """What a reference stands for, with what is known to be wrong with it.

    Args:
        settings, reference, plain_http: as for :func:`open_reader`.
        progress: told of the bytes of layers. None: they are not read.
    """
    limits = settings.server.limits.of_layers()
    if isinstance(reference, LayoutReference):
        async with LayoutReader.open(reference.file) as layout:
            named = reference.reference
            return await inspect(layout, named.repository, named.target, progress=progress, limits=limits)
    if reference.host is not None:
        async with open_reader(settings, reference.host, plain_http=plain_http) as reader:
            return await inspect(reader, reference.repository, reference.target, progress=progress, limits=limits)
    async with open_store(settings, must_exist=True) as store:
        recorded, runs = store.records.findings.recorded_findings, store.records.sync_runs
        found = await inspect(store, reference.repository, reference.target, recorded, progress, limits=limits)
        history = await runs.history(reference.repository, reference.tag, _MOST_EVENTS) if reference.tag else ()
        return replace(
            found,
            origin=await _provenance(store, found),
            history=history,
            derivation=await store.records.derivations.derivation(found.manifest.digest),
            admission=await _standing(settings, store, found.repository, found.manifest),
        )


async def read_plugin(
    settings: Settings,
    source: Reference | LayoutReference | Path,
    progress: Progress,
    *,
    plain_http: bool = False,
    digests: bool = False,
) -> PluginContent:
    """All of a plugin, from a registry, a layout or a folder.

    Args:
        settings, plain_http: as for :func:`open_reader`.
        source: where it is.
        progress: told of the bytes of layers.
        digests: whether files are hashed, so that they can be compared.

    Raises:
        ManifestInvalid: it is no plugin. And whatever the registry, or reading the folder, raises.
    """
    if isinstance(source, Path):
        return await read_plugin_folder(source, digests=digests)
    named = source.reference if isinstance(source, LayoutReference) else source
    opened = (
        LayoutReader.open(source.file)
        if isinstance(source, LayoutReference)
        else open_reader(settings, source.host, plain_http=plain_http)
    )
    async with opened as reader:
        manifest = await reader.get_manifest(named.repository, named.target)
        require_plugin(manifest, str(source))
        limits = settings.server.limits.of_layers()
        content = await read_content(reader, named.repository, manifest, progress, limits=limits, digests=digests)
        withheld = await _withheld(reader, named.repository, manifest) if isinstance(reader, Store) else ()
        return replace(content, findings=(*withheld, *content.findings))


async def _standing(settings: Settings, store: Store, repository: Repository, manifest: Manifest) -> Admission | None:
    """How something in our own store stands: what is known of it, and what is so without any rules."""
    policy = policy_of(settings)
    if not manifest.may_be_plugin:
        return await store.records.verdicts.admission(repository, manifest.digest, policy)
    found = (await judging(store).judge(repository, manifest)).admission
    rejected = found.rejection.matched if found.rejection is not None else ()
    known = await store.records.verdicts.admission(repository, manifest.digest, policy, rejected)
    return known if found.verdict is None else replace(known or found, verdict=found.verdict)


async def _withheld(store: Store, repository: Repository, manifest: Manifest) -> tuple[Finding, ...]:
    """What there is to say of a plugin in our own store that no host gets, other than what is wrong with itself."""
    judged = await judging(store).judge(repository, manifest)
    is_told = judged.lacks or judged.admission.state is State.REJECTED
    return (PLUGIN_WITHHELD(reason=judged.admission.sentence),) if is_told else ()


async def _provenance(store: Store, found: Inspection) -> Provenance | None:
    """Where something in our own store came from."""
    pulled = await store.records.origins.origin(found.repository, found.target)
    if pulled is not None:
        return Provenance("pulled through", pulled.upstream, pulled.source, pulled.checked_at)
    for mirrored in (await store.records.sync_runs.mirrored(found.repository)).values():
        names = {mirrored.tag, mirrored.digest, mirrored.original}  # the original of a copy with changes has no tag
        if found.manifest.digest in {mirrored.digest, mirrored.original} and found.target in names:
            return Provenance("mirrored", mirrored.upstream, mirrored.source, mirrored.brought_at)
    return None


def advertised_host(settings: Settings) -> str:
    """``HOST:PORT`` as Docker hosts reach us: what we listen on, or this machine's name where that is every address."""
    listen_on = settings.server.listen
    if listen_on.host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return f"{socket.gethostname()}:{listen_on.port}"
    return str(listen_on)
