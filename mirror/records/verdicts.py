"""Records that plugins are judged with: verdicts, rejections, and the plugins that are held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mirror.oci import Digest, Manifest, Repository
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admissions import Admission, Rejection

#: Stands for the policy of a server that has none. It judges nothing but whether a plugin can be read with certainty.
NO_POLICY: Final = "none"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Privileges of the plugins that were let in under a name.

    Attributes:
        asked: what the last one asks for that this policy, or a person, has let in; None: there is none.
        recorded: what was new about the plugin in question to another policy; None: no other policy has let it in.
        others_gone: whether other plugins were judged under the name, by whichever policy, that are not there any more.
    """

    asked: frozenset[RequestedPrivilege] | None = None
    recorded: tuple[RequestedPrivilege, ...] | None = None
    others_gone: bool = False


class Verdicts(Protocol):
    """Where verdicts are kept, by the fingerprint of the policy that gave them."""

    @property
    def admission_generation(self) -> int | None:
        """The count of changes: an answer is good for as long as it stays the same; None: do not keep the answer."""
        ...

    async def admission(
        self, repository: Repository, digest: Digest, policy: str | None, fingerprints: Collection[str]
    ) -> Admission | None:
        """Find what is known of a plugin; None: nothing.

        Args:
            repository, digest: the plugin.
            policy: whose verdict is meant; a verdict of before there were fingerprints counts as everybody's. None: the
                latest.
            fingerprints: of the plugin; a rejection of any of them covers it.
        """
        ...

    async def baseline(self, repository: Repository, digest: Digest, policy: str) -> Baseline:
        """The privileges that a plugin which this policy has not seen yet is compared with."""
        ...

    async def note_verdict(self, admission: Admission, policy: str) -> None:
        """Keep what the policy says, and what the plugin asks for, in place of what it said before."""
        ...

    async def forget_verdict(self, repository: Repository, digest: Digest, policy: str) -> None:
        """Keep no longer what the policy said."""
        ...


class Rejections(Protocol):
    """Rejections of plugins by people, and the fingerprints that they cover."""

    async def has_rejections(self) -> bool:
        """Tell whether there are rejections."""
        ...

    async def extend_rejection(self, rejection: Rejection, fingerprints: Collection[str]) -> None:
        """Have a rejection cover more fingerprints of the same content; nothing, where it was lifted meanwhile."""
        ...


class HeldPlugins(Protocol):
    """Which plugins a repository holds, also those that are being pulled through, and what names a blob.

    What an engine might take for a plugin counts as one.
    """

    async def plugins_before(self, repository: Repository, digest: Digest, limit: int) -> Sequence[Digest]:
        """The plugins that came before one, or all where that one is not here: the newest ``limit``, oldest first."""
        ...

    async def plugin(self, repository: Repository, digest: Digest) -> Manifest | None:
        """A plugin's manifest, all of whose content may be here or not; None: the repository does not hold it."""
        ...

    async def holds_plugins(self, repository: Repository) -> bool:
        """Tell whether the repository holds plugins."""
        ...

    async def plugins_naming(
        self, repository: Repository, blob: Digest, limit: int, limit_bytes: int
    ) -> Sequence[Digest]:
        """The plugins whose config or layer is that blob: first what somebody or a policy let in.

        Args:
            repository, blob: the blob.
            limit: most plugins.
            limit_bytes: most bytes of their manifests together.
        """
        ...

    async def is_named_otherwise(self, repository: Repository, blob: Digest) -> bool:
        """Tell whether a manifest of the repository that is no plugin names the blob."""
        ...


@dataclass(frozen=True, slots=True)
class AdmissionRecords:
    """The records that plugins are judged with.

    Attributes:
        verdicts: what policies said.
        rejections: what people rejected.
        plugins: the plugins that are held.
    """

    verdicts: Verdicts
    rejections: Rejections
    plugins: HeldPlugins
