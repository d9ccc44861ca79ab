"""Inspect the content of a reference through the port: a plugin, an image, an artifact or an index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from mirror.authoring.held_platforms import HeldPlatforms
from mirror.authoring.plugin_content import read_config, read_content
from mirror.authoring.signatures import HeldSignature, signatures
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import UpstreamFault
from mirror.plugin.config.own_name import local_name
from mirror.plugin.findings.finding import Finding
from mirror.plugin.findings.manifest_findings import MANIFEST_AMBIGUOUS
from mirror.plugin.lint.plugin_view import PluginView, view_plugin
from mirror.plugin.rootfs.layer_limits import DEFAULT_LIMITS, LayerLimits
from mirror.records.readings import Readings
from mirror.records.sync_runs import BUNDLE_OWNER, TagEvent
from mirror.registry.port import ReadLister
from mirror.transfer.progress_reporting import Progress

if TYPE_CHECKING:  # the command verifies signatures only with the keys of admission rules
    from mirror.records.admission.admissions import Admission
    from mirror.records.derivations import Derivation
    from mirror.records.origins import Origins
    from mirror.records.run_journal import RunRecorder
    from mirror.signing.signature_verification import VerifiedContent

_NO_PLATFORMS = HeldPlatforms()

#: Returns the findings that were recorded when a manifest was stored, or None if it was not checked.
Recorded: TypeAlias = Callable[[Digest], Awaitable[tuple[Finding, ...] | None]]


async def _nobody_looked(_digest: Digest) -> tuple[Finding, ...] | None:
    return None


@dataclass(frozen=True, slots=True)
class Provenance:
    """The upstream of content in the local store.

    Attributes:
        how: ``mirrored`` by a rule, ``imported`` with a bundle, or ``pulled through``.
        upstream: name of the upstream; ``bundle:STREAM`` for a bundle.
        repository: repository at the upstream.
        at: time at which the content was copied, or at which the upstream last confirmed it.
        first_seen: time at which this store or the sender of its bundle first held the content; None if not imported.
    """

    how: str
    upstream: str
    repository: Repository
    at: datetime
    first_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of an inspection.

    Attributes:
        repository: repository that was read.
        target: tag or digest that was asked for.
        manifest: the manifest.
        plugin: the plugin. None for other content.
        findings: known faults.
        origin: upstream of the content. None if it was pushed or the upstream is unknown.
        derivation: record of a derived copy. None for other content.
        history: changes of the tag, latest first. Empty unless a mirror rule copied the tag.
        signatures: referrers and cosign tags. None if the registry does not list referrers.
        verified: signatures, verified with the keys of the admission rules. None if there are no keys.
        original: the same for the original of a derived copy, if the store still holds the original.
        admission: state in the admission policy. None if nobody asked for the state.
        platforms: platforms of an index, and the content that the local store lacks.
    """

    repository: Repository
    target: Tag | Digest
    manifest: Manifest
    plugin: PluginView | None = None
    findings: tuple[Finding, ...] = ()
    origin: Provenance | None = None
    derivation: Derivation | None = None
    history: Sequence[TagEvent] = ()
    signatures: tuple[HeldSignature, ...] | None = None
    verified: VerifiedContent | None = None
    original: VerifiedContent | None = None
    admission: Admission | None = None
    platforms: HeldPlatforms = _NO_PLATFORMS

    @property
    def kind(self) -> str:
        """The kind of the content: ``plugin``, ``image``, ``artifact`` or ``index``."""
        return self.manifest.kind


async def inspect(
    registry: ReadLister,
    repository: Repository,
    target: Tag | Digest,
    recorded: Recorded = _nobody_looked,
    progress: Progress | None = None,
    *,
    limits: LayerLimits = DEFAULT_LIMITS,
    readings: Readings | None = None,
) -> Inspection:
    """Read a manifest and, if the content is a plugin, its configuration and optionally its layers.

    Args:
        registry: the registry.
        repository: repository of the content.
        target: tag or digest of the content.
        recorded: returns the findings that were recorded when the content was stored. Used if layers are not read.
        progress: receives the bytes of layers. None to skip the layers and everything that only they tell.
        limits: limits beyond which layers are not read.
        readings: readings of layers, if the registry keeps them.

    Raises:
        ManifestUnknown, BlobUnknown: the manifest or the config is missing.
    """
    # Referrers are asked for by digest, so a tag that moves in between does no harm.
    manifest = await registry.get_manifest(repository, target)
    found = Inspection(
        repository,
        target,
        manifest,
        signatures=await _signatures(registry, repository, manifest),
        platforms=HeldPlatforms.of(manifest),
    )
    if not manifest.is_plugin:
        unclear = () if manifest.ambiguity is None else (MANIFEST_AMBIGUOUS(ambiguity=manifest.ambiguity),)
        return replace(found, findings=(*unclear, *(await recorded(manifest.digest) or ())))
    if progress is not None:
        content = await read_content(registry, repository, manifest, progress, limits=limits, readings=readings)
    else:
        content = await read_config(registry, repository, manifest)
        known = await recorded(manifest.digest)
        if known is not None and manifest.ambiguity is None:
            content = replace(content, findings=known)
    tag = target.name if isinstance(target, Tag) else None
    plugin = view_plugin(content, tag, name=None if tag is None else local_name(repository.name, tag))
    return replace(found, plugin=plugin, findings=plugin.findings)


async def provenance(origins: Origins, journal: RunRecorder, found: Inspection) -> Provenance | None:
    """Return the upstream of content in the local store, or None if it was pushed or the upstream is unknown."""
    # An origin belongs to one tag or digest. The journal has rows for all tags of the repository.
    pulled = await origins.origin(found.repository, found.target)
    if pulled is not None:
        return Provenance("pulled through", pulled.upstream, pulled.source, pulled.checked_at)
    if found.target in (await journal.other_tags(found.repository)).pushed:
        return None  # a client has pushed content that a rule had brought before
    for mirrored in (await journal.mirrored(found.repository)).values():
        names = {mirrored.tag, mirrored.digest, mirrored.original}  # the original of a derived copy has no tag
        if found.manifest.digest in {mirrored.digest, mirrored.original} and found.target in names:
            how = "imported" if mirrored.rule.startswith(BUNDLE_OWNER) else "mirrored"
            return Provenance(how, mirrored.upstream, mirrored.source, mirrored.brought_at)
    return None


async def _signatures(
    registry: ReadLister, repository: Repository, manifest: Manifest
) -> tuple[HeldSignature, ...] | None:
    try:
        return await signatures(registry, repository, manifest.digest)
    except UpstreamFault:
        return None  # some registries serve a plugin, but refuse or fail to list its referrers
