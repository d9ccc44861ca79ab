"""Blob gate: serves the blobs of a plugin only while the plugin is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import Denied, NotFound
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.records.verdicts import PluginBlobs, Verdicts
from mirror.runtime.lru_cache import LruCache

_LOG = structlog.get_logger(__name__)

#: Bound on the plugins checked for one blob. If all of them are withheld, the blob is withheld.
_MOST_ASKED: Final = 256
#: Bound on the bytes of their manifests. Real manifests have some KiB.
_MOST_ASKED_BYTES: Final = MAX_MANIFEST_BYTES
_MOST_KEPT: Final = 4096

#: Returns the reason for withholding a plugin, in words for the client, or None if the plugin is served.
WhyWithheld: TypeAlias = Callable[[Repository, Manifest], Awaitable[str | None]]


class BlobGate:
    """Withholds blobs which are named only by withheld plugins. Blobs named by no plugin pass.

    Args:
        verdicts: records of changes to the admissions of plugins.
        plugins: the plugins of the registry that is served.
        why_withheld: returns the reason for withholding a plugin, from all callers or from one.
    """

    def __init__(self, verdicts: Verdicts, plugins: PluginBlobs, why_withheld: WhyWithheld) -> None:
        self._verdicts = verdicts
        self._plugins = plugins
        self._why_withheld = why_withheld
        self._answers: LruCache[tuple[Repository, Digest | None], tuple[int, str | None]] = LruCache(_MOST_KEPT)

    def is_open(self, repository: Repository, blob: Digest) -> bool:
        """Return True if a blob is known to pass without a query to the catalog."""
        generation = self._verdicts.admission_generation
        if generation is None:
            return False
        return any(self._answers.peek(key) == (generation, None) for key in ((repository, None), (repository, blob)))

    async def require_open(self, repository: Repository, blob: Digest) -> None:
        """Raise an error unless a blob may be served.

        Raises:
            Denied: all manifests of the repository naming the blob are withheld plugins.
            MirrorError: any error of ``why_withheld``.
        """
        if self.is_open(repository, blob):
            return
        # Read the generation before the records: a change in between makes the cached answer invalid.
        generation = self._verdicts.admission_generation
        key: tuple[Repository, Digest | None] = (repository, blob)
        known = self._answers.peek(key)
        if known is not None and known[0] == generation:
            why = known[1]
        elif not await self._plugins.holds_plugins(repository):
            # One answer for the whole repository: without plugins it costs one query for each change (ADR 20).
            key, why = (repository, None), None
        else:
            why = await self._why(repository, blob)
        if generation is not None:
            self._answers.put(key, (generation, why))
        if why is not None:
            _LOG.info("blob withheld", name=str(repository), digest=str(blob), reason=why)
            raise Denied(
                f"the blob {blob} is withheld, because all plugins with this blob are withheld: {why}",
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
            except NotFound as error:  # an incomplete plugin is not served either
                why = error.message
            if why is None:
                return None
            reasons.append(why)
        # Other manifests are checked last, only if the blob would be withheld otherwise (ADR 20).
        if not reasons or await self._plugins.is_named_otherwise(repository, blob):
            return None
        return reasons[0]
