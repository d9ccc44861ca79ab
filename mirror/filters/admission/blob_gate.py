"""Blob gate: serves the blobs of a plugin only while the plugin is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

import structlog

from mirror.oci import Digest, Manifest, Repository
from mirror.oci.errors import Denied, NotFound
from mirror.oci.manifest import MAX_MANIFEST_BYTES
from mirror.records.admission.verdicts import PluginBlobs, Verdicts
from mirror.runtime.clock import Clock
from mirror.runtime.lru_cache import LruCache

_LOG = structlog.get_logger(__name__)

#: Bound on the plugins checked for one blob. If all of them are withheld, the blob is withheld.
_MOST_ASKED: Final = 256
#: Bound on the bytes of their manifests. Real manifests have some KiB.
_MOST_ASKED_BYTES: Final = MAX_MANIFEST_BYTES
_MOST_KEPT: Final = 4096


class GateAnswer(NamedTuple):
    """Answer about a plugin or a blob.

    Attributes:
        why: the reason for withholding it, in words for the client; None if it is served.
        until: time in UTC at which the answer may change by itself; None if it does not.
    """

    why: str | None
    until: datetime | None = None


#: Returns the answer about a plugin.
WhyWithheld: TypeAlias = Callable[[Repository, Manifest], Awaitable[GateAnswer]]


class BlobGate:
    """Withholds blobs which are named only by withheld plugins. Blobs named by no plugin pass.

    Args:
        verdicts: records of changes to the admissions of plugins.
        plugins: the plugins of the registry that is served.
        why_withheld: returns the answer about a plugin, for all callers or for one.
        clock: source of the current time.
    """

    def __init__(self, verdicts: Verdicts, plugins: PluginBlobs, why_withheld: WhyWithheld, clock: Clock) -> None:
        self._verdicts = verdicts
        self._plugins = plugins
        self._why_withheld = why_withheld
        self._clock = clock
        self._answers: LruCache[tuple[Repository, Digest | None], tuple[int, GateAnswer]] = LruCache(_MOST_KEPT)

    def is_open(self, repository: Repository, blob: Digest) -> bool:
        """Return True if a blob is known to pass without a query to the catalog."""
        generation = self._verdicts.admission_generation
        if generation is None:
            return False
        known = (self._known(key, generation) for key in ((repository, None), (repository, blob)))
        return any(answer is not None and answer.why is None for answer in known)

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
        answer = None if generation is None else self._known(key, generation)
        if answer is None and not await self._plugins.holds_plugins(repository):
            # One answer for the whole repository: without plugins it costs one query for each change (ADR 20).
            key, answer = (repository, None), GateAnswer(None)
        elif answer is None:
            answer = await self._answer(repository, blob)
        if generation is not None:
            self._answers.put(key, (generation, answer))
        if answer.why is not None:
            _LOG.info("blob withheld", name=str(repository), digest=str(blob), reason=answer.why)
            raise Denied(
                f"the blob {blob} is withheld, because all plugins with this blob are withheld: {answer.why}",
                name=repository,
                digest=blob,
            )

    def _known(self, key: tuple[Repository, Digest | None], generation: int) -> GateAnswer | None:
        """Return an answer from memory; None if it has to be found again."""
        known = self._answers.peek(key)
        if known is None or known[0] != generation:
            return None
        until = known[1].until
        return known[1] if until is None or self._clock.now() < until else None

    async def _answer(self, repository: Repository, blob: Digest) -> GateAnswer:
        withheld: list[GateAnswer] = []
        for digest in await self._plugins.plugins_naming(repository, blob, _MOST_ASKED, _MOST_ASKED_BYTES):
            manifest = await self._plugins.plugin(repository, digest)
            if manifest is None:
                continue
            try:
                answer = await self._why_withheld(repository, manifest)
            except NotFound as error:  # an incomplete plugin is not served either
                answer = GateAnswer(error.message)
            if answer.why is None:
                return answer
            withheld.append(answer)
        # Other manifests are checked last, only if the blob would be withheld otherwise (ADR 20).
        if not withheld or await self._plugins.is_named_otherwise(repository, blob):
            return GateAnswer(None)
        # The first plugin that is served again opens the gate.
        ends = (answer.until for answer in withheld if answer.until is not None)
        return GateAnswer(withheld[0].why, min(ends, default=None))
