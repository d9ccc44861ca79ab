"""What is let in, and what is given out, by a policy for plugins: two wrappers.

One looks when a manifest comes, by a push or a mirror rule. The other looks when one is asked for: at what is held, at
what was here before there was a policy, at what is pulled through. Only whole manifests are kept back, and no engine
installs a plugin without one. Digests are not: an engine begins with ``HEAD``, whose answer cannot say why it is no.
"""

from __future__ import annotations

from collections.abc import Collection

from mirror.filters.judging import Judge, refusal
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository, Tag
from mirror.registry.admissions import State
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry


class Admit(DelegatingRegistry):
    """Takes no plugin that the policy denies, or that somebody has refused. What is held is taken, with advice.

    Args:
        inner: the registry behind.
        judge: judges its plugins.
    """

    def __init__(self, inner: Registry, judge: Judge) -> None:
        super().__init__(inner)
        self._judge = judge

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """As the port says. Denied tells which rule refuses the plugin, and why."""
        if not self._judge.concerns(manifest):
            return await self.inner.put_manifest(repository, manifest, tags)
        try:
            judged = await self._judge.judge(repository, manifest)
        except BlobUnknown as error:
            raise ManifestBlobUnknown(f"{error}, which the manifest names: push it first", **error.detail) from error
        admission = judged.admission
        if admission.state in {State.DENIED, State.REJECTED}:
            self._judge.tell(admission)
            raise refusal(admission)
        advice = await self.inner.put_manifest(repository, manifest, tags)
        await self._judge.note(judged)
        held = (admission.sentence,) if admission.state is State.HELD else ()
        warnings = () if admission.verdict is None else admission.verdict.warnings
        return (*held, *warnings, *advice)


class Withhold(DelegatingRegistry):
    """Gives out no manifest of a plugin that is not let in: what is held, refused by somebody, or denied.

    Args:
        inner: the registry behind.
        judge: judges its plugins.
    """

    def __init__(self, inner: Registry, judge: Judge) -> None:
        super().__init__(inner)
        self._judge = judge

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """As the port says. Denied tells why the plugin is kept back, and how it is let in."""
        manifest = await self.inner.get_manifest(repository, target)
        if self._judge.concerns(manifest):
            await self._judge.require_served(repository, manifest)
        return manifest
