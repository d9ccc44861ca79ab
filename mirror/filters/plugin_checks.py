"""Plugin checks: a wrapper that checks a plugin against the needs of engines before its manifest is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from typing import Final, TypeAlias

import structlog

from mirror.filters.shared_layers import SharedLayerReader
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown, ManifestInvalid, ManifestUnknown, RepositoryUnknown
from mirror.plugin.findings.finding import Finding
from mirror.plugin.findings.finding_table import refusals
from mirror.plugin.lint import manifest_checks
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Reader, Registry
from mirror.runtime.concurrency.cpu_offload import CpuOffload
from mirror.runtime.error_advice import without_fix

_LOG = structlog.get_logger(__name__)

#: Bound on the checked members of an index. An index of plugins holds little else.
_MOST_MEMBERS: Final = 16

#: Stores the findings of a held manifest in place of earlier findings.
RecordFindings: TypeAlias = Callable[[Digest, tuple[Finding, ...]], Awaitable[None]]


class PluginChecker:
    """Checker of plugins for a whole process.

    Args:
        record: stores the findings.
        layers: reader of layers for the whole process.
        enforce: True to refuse plugins with errors, False to accept them with advice.

    Attributes:
        record: see the argument.
        enforce: see the argument.
    """

    def __init__(self, record: RecordFindings, layers: SharedLayerReader, *, enforce: bool) -> None:
        self.enforce = enforce
        self.record = record
        self._layers = layers
        self._cpu_offload = CpuOffload()

    async def examine(self, registry: Reader, repository: Repository, manifest: Manifest) -> str | None:
        """Check a held plugin like an incoming one, and record the findings.

        Args:
            registry: registry of the plugin.
            repository: repository of the plugin.
            manifest: manifest of the plugin.

        Returns:
            The errors for which the plugin is refused, None if there are none or errors are not enforced.

        Raises:
            ManifestBlobUnknown: the repository lacks some content of the plugin.
        """
        findings = await self.find(registry, repository, manifest) or ()
        await self.record(manifest.digest, findings)
        errors = [finding.text for finding in refusals(findings)]
        return "; ".join(errors) if errors and self.enforce else None

    async def find(self, registry: Reader, repository: Repository, manifest: Manifest) -> tuple[Finding, ...] | None:
        """Return the findings of a plugin, or of an index of plugins. None for any other manifest."""
        if manifest.manifests:
            members = await self._members(registry, repository, manifest.manifests[:_MOST_MEMBERS])
            return manifest_checks.check_index(members) or None
        if manifest.config is None or not manifest.is_plugin:
            return None
        try:
            config = await read_plugin_config(registry, repository, manifest.config.digest, manifest.config.size_bytes)
            layers = await self._layers.facts_of(registry, repository, manifest)
        except BlobUnknown as error:
            raise ManifestBlobUnknown(
                f"{without_fix(error)}, which the manifest names; fix: push it first", **error.detail
            ) from error
        size_bytes, content = config.size_bytes, config.content
        read_bytes = manifest.size_bytes + len(content or b"")
        return await self._cpu_offload.do(
            repository, read_bytes, manifest_checks.check_plugin, manifest, size_bytes, content, layers
        )

    async def _members(self, registry: Reader, repository: Repository, members: Iterable[Descriptor]) -> list[Manifest]:
        found = []
        for member in members:
            # A rule may have left a member out. Otherwise the wrapped registry refuses an index with missing members.
            with suppress(ManifestUnknown, RepositoryUnknown):
                found.append(await registry.get_manifest(repository, member.digest))
        return found


class PluginChecks(DelegatingRegistry):
    """Refuses the manifest of a plugin which engines cannot install, and reports other findings.

    The findings of an accepted plugin are recorded, and returned by :meth:`put_manifest` as advice.

    Args:
        inner: the wrapped registry. Configs and layers are read from it.
        checker: checker of plugins.
    """

    def __init__(self, inner: Registry, checker: PluginChecker) -> None:
        super().__init__(inner)
        self._checker = checker

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """Store a manifest as the port defines.

        Raises ManifestInvalid, with all errors and their fixes, if the plugin is refused.
        """
        findings = await self._checker.find(self.inner, repository, manifest)
        if findings is None:
            return await self.inner.put_manifest(repository, manifest, tags)
        errors = refusals(findings)
        reason = "; ".join(finding.sentence for finding in errors)
        if reason and self._checker.enforce:
            # Engines from 20.10 to 27 show their user only the status, so the reason must be in the log.
            _LOG.warning("plugin refused", name=str(repository), digest=str(manifest.digest), reason=reason)
            raise ManifestInvalid(f"plugin refused: {reason}", findings=" ".join(finding.code for finding in errors))
        # Findings are recorded after the manifest, because they are kept with its bytes (ADR 6).
        advice = await self.inner.put_manifest(repository, manifest, tags)
        if reason:
            _LOG.warning("faulty plugin accepted", name=str(repository), digest=str(manifest.digest), reason=reason)
        await self._checker.record(manifest.digest, findings)
        return (*(finding.sentence for finding in findings), *advice)
