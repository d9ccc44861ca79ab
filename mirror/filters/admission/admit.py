"""Admission of plugins: two wrappers around an admission controller.

:class:`Admit` checks a manifest when it arrives, by a push, a mirror rule or a command. :class:`Withhold` checks a
manifest when it is requested: a held plugin, content stored before there was a policy, or pulled-through content. Other
manifests than those of plugins pass unless a person has rejected them.

The manifest is the gate, because no engine installs a plugin without one. Blobs are served or withheld together with
their plugins. Digests are always resolved: an engine begins with ``HEAD``, whose answer cannot carry a reason (ADR 16).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

from mirror.filters.admission.admission_controller import AdmissionController
from mirror.filters.admission.blob_gate import BlobGate, GateAnswer
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestBlobUnknown, MirrorError
from mirror.records.admission.admissions import AdmissionState
from mirror.records.admission.arrivals import SOURCE
from mirror.records.admission.verdicts import PluginBlobs
from mirror.registry.delegate import DelegatingRegistry, DelegatingUpload
from mirror.registry.port import Blob, Registry
from mirror.registry.upload import Upload, UploadBody
from mirror.runtime.error_advice import without_fix
from mirror.signing.signature_formats import signed_subjects
from mirror.wire.ranges import RangeRequest

_LOG = structlog.get_logger(__name__)


class Admit(DelegatingRegistry):
    """Accepts no plugin rejected by a person or denied by the policy. A held plugin is accepted, with advice.

    A plugin with missing layers is accepted too, and judged when the layers arrive.

    Args:
        inner: the wrapped registry.
        judge: admission controller.
    """

    def __init__(self, inner: Registry, judge: AdmissionController) -> None:
        super().__init__(inner)
        self._judge = judge

    async def put_manifest(
        self, repository: Repository, manifest: Manifest, tags: Collection[Tag] = ()
    ) -> tuple[str, ...]:
        """Store a manifest as the port defines.

        Raises Denied, with the person or rule that refuses the plugin and the reason.
        """
        # Rules are for plugins only, but a rejection by a person holds for any content (ADR 20).
        if not manifest.may_be_plugin:
            await self._judge.require_not_rejected(self.inner, repository, manifest)
            advice = await self.inner.put_manifest(repository, manifest, tags)
            if self._judge.asks_for_signatures:
                for subject in signed_subjects(manifest, tags):
                    await self._signed(repository, subject)
            return advice
        try:
            judged = await self._judge.judge(self.inner, repository, manifest)
        except BlobUnknown as error:
            raise ManifestBlobUnknown(
                f"{without_fix(error)}, which the manifest names; fix: push it first", **error.detail
            ) from error
        if judged.is_refused:
            raise await self._judge.refuse(judged)
        # The verdict is recorded only for a stored plugin.
        advice = await self.inner.put_manifest(repository, manifest, tags)
        if self._judge.has_cooldown and SOURCE.get() is not None:
            # Only now is it recorded where the plugin came from, and whether it is new.
            judged = await self._judge.judge(self.inner, repository, manifest)
        await self._judge.note(judged)
        admission = judged.admission
        held = (admission.sentence,) if admission.state in {AdmissionState.HELD, AdmissionState.DENIED} else ()
        warnings = () if admission.verdict is None else admission.verdict.warnings
        return (*held, *warnings, *advice)

    async def begin_upload(
        self, repository: Repository, client: str | None = None, algorithm: str = "sha256"
    ) -> Upload:
        return self._arriving(await self.inner.begin_upload(repository, client, algorithm), repository)

    async def resume_upload(self, repository: Repository, upload_id: str) -> Upload:
        return self._arriving(await self.inner.resume_upload(repository, upload_id), repository)

    async def mount_blob(self, repository: Repository, digest: Digest, source: Repository | None) -> Descriptor | None:
        mounted = await self.inner.mount_blob(repository, digest, source)
        if mounted is not None:
            await self._judge.arrived(self.inner, repository, digest)
        return mounted

    async def _signed(self, repository: Repository, subject: Digest) -> None:
        """Judge a plugin again for which a signature has come, so that lists show it as it stands."""
        try:
            if (manifest := await self._judge.records.plugins.plugin(repository, subject)) is not None:
                await self._judge.assess(self.inner, repository, manifest)
        except MirrorError as error:  # the signature is stored, and a request judges the plugin again
            _LOG.warning("plugin not judged yet", name=str(repository), error=str(error), **error.detail)

    def _arriving(self, upload: Upload, repository: Repository) -> Upload:
        return ArrivingUpload(upload, lambda digest: self._judge.arrived(self.inner, repository, digest))


class ArrivingUpload(DelegatingUpload):
    """Upload of a blob for which a plugin may be waiting.

    Args:
        inner: the wrapped upload.
        arrived: called with the digest of the committed blob.
    """

    def __init__(self, inner: Upload, arrived: Callable[[Digest], Awaitable[None]]) -> None:
        super().__init__(inner)
        self._arrived = arrived

    async def commit(self, digest: Digest, last: UploadBody | None = None) -> Descriptor:
        committed = await self.inner.commit(digest, last)
        await self._arrived(digest)
        return committed


class Withhold(DelegatingRegistry):
    """Serves no plugin which is held, rejected, denied or incomplete.

    Args:
        inner: the wrapped registry.
        judge: admission controller.
        plugins: the plugins of ``inner``; None for those in the records of ``judge``.
        shows_held: True to serve held plugins all the same.
    """

    def __init__(
        self,
        inner: Registry,
        judge: AdmissionController,
        plugins: PluginBlobs | None = None,
        *,
        shows_held: bool = False,
    ) -> None:
        super().__init__(inner)
        self._judge = judge
        self._shows_held = shows_held
        records = judge.records
        self._gate = BlobGate(records.verdicts, plugins or records.plugins, self._why_withheld, judge.clock)

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """Return a manifest as the port defines.

        Raises Denied, with the reason and the way to admit the plugin, if the plugin is withheld.
        """
        manifest = await self.inner.get_manifest(repository, target)
        if self._judge.is_known_served(repository, manifest.digest):
            return manifest
        if manifest.may_be_plugin:
            await self._judge.require_served(self.inner, repository, manifest, shows_held=self._shows_held)
        else:
            await self._judge.require_not_rejected(self.inner, repository, manifest)
        return manifest

    async def stat_pullable_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        """Return digest and size of a blob as the port defines.

        Raises Denied, with the reason, if all plugins naming the blob are withheld.
        """
        await self._gate.require_open(repository, digest)
        return await self.inner.stat_pullable_blob(repository, digest)

    def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AbstractAsyncContextManager[Blob]:
        """Open a blob as the port defines.

        Raises Denied, with the reason, if all plugins naming the blob are withheld.
        """
        # Fast path of every blob pull: answered from memory, and the blob of ``inner`` is returned unwrapped.
        if self._gate.is_open(repository, digest):
            return self.inner.open_blob(repository, digest, part, size_bytes)
        return self._open_blob(repository, digest, part, size_bytes)

    @asynccontextmanager
    async def _open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None, size_bytes: int | None
    ) -> AsyncIterator[Blob]:
        await self._gate.require_open(repository, digest)
        async with self.inner.open_blob(repository, digest, part, size_bytes) as blob:
            yield blob

    async def _why_withheld(self, repository: Repository, manifest: Manifest) -> GateAnswer:
        admission = await self._judge.admission(self.inner, repository, manifest)
        until = None if admission.verdict is None else admission.verdict.until
        is_shown = self._shows_held and admission.state is AdmissionState.HELD
        return GateAnswer(None if is_shown or admission.state.is_served else admission.sentence, until)
