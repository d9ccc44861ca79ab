"""Which blobs are given out: those of a plugin only as long as the plugin is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import Denied, NotFound
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.records.verdicts import AdmissionRecords
from mirror.runtime.lru_cache import LruCache

_LOG = structlog.get_logger(__name__)

#: Plugins with the same blob that are asked about. Beyond so many that are all withheld, the blob is.
_MOST_ASKED: Final = 256
#: Bytes of their manifests: real ones have some KiB.
_MOST_ASKED_BYTES: Final = MAX_MANIFEST_BYTES
_MOST_KEPT: Final = 4096

#: Tells why a plugin is not given out, in words for the client; None: it is.
WhyWithheld: TypeAlias = Callable[[Repository, Manifest], Awaitable[str | None]]


class BlobGate:
    """Keeps back a blob that nothing but withheld plugins name. What no plugin names is let pass.

    Args:
        records: tell which plugins name a blob, and when what is known of plugins has changed.
        why_withheld: whether a plugin is withheld, from all callers or from one.
    """

    def __init__(self, records: AdmissionRecords, why_withheld: WhyWithheld) -> None:
        self._verdicts = records.verdicts
        self._plugins = records.plugins
        self._why_withheld = why_withheld
        self._answers: LruCache[tuple[Repository, Digest | None], tuple[int, str | None]] = LruCache(_MOST_KEPT)

    def is_open(self, repository: Repository, blob: Digest) -> bool:
        """Whether it is known without a look into the catalog that a blob passes."""
        generation = self._verdicts.admission_generation
        if generation is None:
            return False
        return any(self._answers.peek(key) == (generation, None) for key in ((repository, None), (repository, blob)))

    async def require_open(self, repository: Repository, blob: Digest) -> None:
        """See to it that a blob may be given out.

        Raises:
            Denied: every manifest of the repository that names it is withheld. And what ``why_withheld`` raises.
        """
        if self.is_open(repository, blob):
            return
        generation = self._verdicts.admission_generation
        key: tuple[Repository, Digest | None] = (repository, blob)
        known = self._answers.peek(key)
        if known is not None and known[0] == generation:
            why = known[1]
        elif not await self._plugins.holds_plugins(repository):
            key, why = (repository, None), None
        else:
            why = await self._why(repository, blob)
        if generation is not None:
            self._answers.put(key, (generation, why))
        if why is not None:
            _LOG.info("blob withheld", name=str(repository), digest=str(blob), reason=why)
            raise Denied(
                f"the blob {blob} is not given out, because no plugin is that names it: {why}",
                name=repository,
                digest=blob,
            )

    async def _why(self, repository: Repository, blob: Digest) -> str | None:
        reasons: list[str] = []
        for digest in await self._plugins.plugins_naming(repository, blob, _MOST_ASKED, _MOST_ASKED_BYTES):
            manifest = await self._plugins.plugin(repository, digest)
            if manifest is None:
                continue
            try:
                why = await self._why_withheld(repository, manifest)
            except NotFound as error:  # it is not all here, and not given out either
                why = error.message
            if why is None:
                return None
            reasons.append(why)
        if not reasons or await self._plugins.is_named_otherwise(repository, blob):
            return None
        return reasons[0]
