"""What a reference stands for, read through the port: a plugin, an image, an artifact or an index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from mirror.authoring.plugin_content import read_config, read_content
from mirror.authoring.signatures import Signature, signatures
from mirror.oci import Digest, Manifest, Repository, Tag, media_types
from mirror.oci.errors import UpstreamFault
from mirror.plugin.lint.findings import Finding
from mirror.plugin.lint.manifest_findings import MANIFEST_AMBIGUOUS
from mirror.plugin.lint.plugin_view import PluginView, view_plugin
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.records.admissions import Admission
from mirror.records.derivations import Derivation
from mirror.records.origins import Origins
from mirror.records.sync_runs import RunRecorder, TagEvent
from mirror.registry.port import ReadLister
from mirror.transfer.progress_reporting import Progress

_KINDS = {
    media_types.DOCKER_PLUGIN_CONFIG: "plugin",
    media_types.DOCKER_IMAGE_CONFIG: "image",
    media_types.OCI_IMAGE_CONFIG: "image",
}


#: Gives what was found of a manifest when it was stored; None where nobody looked.
Recorded: TypeAlias = Callable[[Digest], Awaitable[tuple[Finding, ...] | None]]


async def _nobody_looked(_digest: Digest) -> tuple[Finding, ...] | None:
    return None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where something that is held came from.

    Attributes:
        how: ``mirrored``, by a rule, or ``pulled through``.
        upstream: the name of the upstream.
        repository: the repository there.
        at: when it was brought, or last confirmed.
    """

    how: str
    upstream: str
    repository: Repository
    at: datetime


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        repository: where it was read.
        target: what was asked for.
        manifest: the manifest.
        plugin: what it is; None for anything else.
        findings: what is wrong with it, as far as is known.
        origin: where it came from; None where it was pushed, or is not known.
        derivation: how it came about, of a copy with changes.
        history: how its tag has moved, the latest first, where a mirror rule brought it.
        signatures: what refers to it; None where the registry does not say.
        admission: how it stands with the admission policy, as far as that was asked.
    """

    repository: Repository
    target: Tag | Digest
    manifest: Manifest
    plugin: PluginView | None = None
    findings: tuple[Finding, ...] = ()
    origin: Provenance | None = None
    derivation: Derivation | None = None
    history: Sequence[TagEvent] = ()
    signatures: tuple[Signature, ...] | None = None
    admission: Admission | None = None

    @property
    def kind(self) -> str:
        """``plugin``, ``image``, ``artifact`` or ``index``."""
        return kind_of(self.manifest)


def kind_of(manifest: Manifest) -> str:
    """``plugin``, ``image``, ``artifact`` or ``index``, by the type of its config."""
    return "index" if manifest.config is None else _KINDS.get(manifest.config.media_type, "artifact")


async def inspect(
    registry: ReadLister,
    repository: Repository,
    target: Tag | Digest,
    recorded: Recorded = _nobody_looked,
    progress: Progress | None = None,
    *,
    limits: LayerLimits = DEFAULT_LIMITS,
) -> Inspection:
    """Read a manifest and, of a plugin, its configuration.

    Args:
        registry: where it is.
        repository, target: its name there.
        recorded: what was found when it was stored; asked only where the layers are not read.
        progress: told of the bytes of layers. None: they are not read, and what they would tell is not known.
        limits: beyond which layers are not read.

    Raises:
        ManifestUnknown, BlobUnknown: it is not there.
    """
    manifest = await registry.get_manifest(repository, target)
    found = Inspection(repository, target, manifest, signatures=await _signatures(registry, repository, manifest))
    if not manifest.is_plugin:
        unclear = () if manifest.ambiguity is None else (MANIFEST_AMBIGUOUS(ambiguity=manifest.ambiguity),)
        return replace(found, findings=(*unclear, *(await recorded(manifest.digest) or ())))
    if progress is not None:
        content = await read_content(registry, repository, manifest, progress, limits=limits)
    else:
        content = await read_config(registry, repository, manifest)
        known = await recorded(manifest.digest)
        if known is not None and manifest.ambiguity is None:
            content = replace(content, findings=known)
    plugin = view_plugin(content, target.name if isinstance(target, Tag) else None)
    return replace(found, plugin=plugin, findings=plugin.findings)


async def provenance(origins: Origins, journal: RunRecorder, found: Inspection) -> Provenance | None:
    """Tell where something in our own registry came from; None where it was pushed, or is not known."""
    pulled = await origins.origin(found.repository, found.target)
    if pulled is not None:
        return Provenance("pulled through", pulled.upstream, pulled.source, pulled.checked_at)
    for mirrored in (await journal.mirrored(found.repository)).values():
        names = {mirrored.tag, mirrored.digest, mirrored.original}  # the original of a copy with changes has no tag
        if found.manifest.digest in {mirrored.digest, mirrored.original} and found.target in names:
            return Provenance("mirrored", mirrored.upstream, mirrored.source, mirrored.brought_at)
    return None


async def _signatures(registry: ReadLister, repository: Repository, manifest: Manifest) -> tuple[Signature, ...] | None:
    try:
        return await signatures(registry, repository, manifest.digest)
    except UpstreamFault:
        return None  # a registry may give the plugin, and refuse or fail to say what refers to it
