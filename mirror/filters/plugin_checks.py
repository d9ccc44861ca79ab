"""A plugin is held to what engines need before its manifest is taken: a wrapper that looks first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final, TypeAlias

import structlog

from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown, ManifestInvalid, ManifestUnknown, RepositoryUnknown
from mirror.plugin.lint import manifest_checks
from mirror.plugin.lint.findings import Finding, Severity
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Reader, Registry
from mirror.runtime.concurrency.cpu_offload import CpuOffload

_LOG = structlog.get_logger(__name__)

#: Members of an index that are looked at: one that holds plugins holds little else.
_MOST_MEMBERS: Final = 16

#: Keeps what was found of a manifest that is held, in place of what was found before.
RecordFindings: TypeAlias = Callable[[Digest, tuple[Finding, ...]], Awaitable[None]]


class PluginChecker:
    """Checks plugins against what engines need, for the whole process.

    Args:
        record: told what was found.
        layers: reads layers, for the whole process.
        enforce: whether errors are refused; else what has them is accepted with advice.

    Attributes:
        record, enforce: as given.
    """

    def __init__(self, record: RecordFindings, layers: SharedLayerReader, *, enforce: bool) -> None:
        self.enforce = enforce
        self.record = record
        self._layers = layers
        self._cpu_offload = CpuOffload()

    async def examine(self, registry: Reader, repository: Repository, manifest: Manifest) -> str | None:
        """Check a plugin that is held, as one that comes, and record what is found.

        Args:
            registry, repository: where it is held.
            manifest: the plugin.

        Returns:
            What is refused in it; None where nothing is.

        Raises:
            ManifestBlobUnknown: something is not here.
        """
        findings = await self.find(registry, repository, manifest) or ()
        await self.record(manifest.digest, findings)
        errors = [finding.text for finding in findings if finding.severity is Severity.ERROR]
        return "; ".join(errors) if errors and self.enforce else None

    async def find(self, registry: Reader, repository: Repository, manifest: Manifest) -> tuple[Finding, ...] | None:
        """Everything that is wrong with a plugin; None for what is neither one nor an index of some."""
        if manifest.manifests:
            members = await self._members(registry, repository, manifest.manifests[:_MOST_MEMBERS])
            return manifest_checks.check_index(members) or None
        if manifest.config is None or not manifest.is_plugin:
            return None
        try:
            config = await read_plugin_config(registry, repository, manifest.config.digest)
            layers = await self._layers.facts_of(registry, repository, manifest)
        except BlobUnknown as error:
            raise ManifestBlobUnknown(f"{error}, which the manifest names: push it first", **error.detail) from error
        size_bytes, content = config.size_bytes, config.content
        read_bytes = manifest.size_bytes + len(content or b"")
        return await self._cpu_offload.do(
            repository, read_bytes, manifest_checks.check_plugin, manifest, size_bytes, content, layers
        )

    async def _members(self, registry: Reader, repository: Repository, members: Iterable[Descriptor]) -> list[Manifest]:
        try:
            return [await registry.get_manifest(repository, member.digest) for member in members]
        except (ManifestUnknown, RepositoryUnknown):
            return []  # the registry behind will say so


class PluginChecks(DelegatingRegistry):
    """Refuses the manifest of a plugin that engines cannot install, and tells what else is wrong with one.

    What was found of an accepted one is recorded, and is the advice that :meth:`put_manifest` gives.

    Args:
        inner: the registry behind; configs and layers are read from it.
        checker: checks plugins.
    """

    def __init__(self, inner: Registry, checker: PluginChecker) -> None:
        super().__init__(inner)
        self._checker = checker

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """As the port says. ManifestInvalid tells everything that is wrong, and what to do about it."""
        findings = await self._checker.find(self.inner, repository, manifest)
        if findings is None:
            return await self.inner.put_manifest(repository, manifest, tags)
        reason = "; ".join(finding.sentence for finding in findings if finding.severity is Severity.ERROR)
        if reason and self._checker.enforce:
            # Engines from 20.10 to 27 show their user the status and nothing else, so the log must tell why.
            _LOG.warning("plugin refused", name=str(repository), digest=str(manifest.digest), reason=reason)
            codes = [finding.code for finding in findings if finding.severity is Severity.ERROR]
            raise ManifestInvalid(f"plugin refused: {reason}", findings=" ".join(codes))
        advice = await self.inner.put_manifest(repository, manifest, tags)
        if reason:
            _LOG.warning("faulty plugin accepted", name=str(repository), digest=str(manifest.digest), reason=reason)
        await self._checker.record(manifest.digest, findings)
        return (*(finding.sentence for finding in findings), *advice)
