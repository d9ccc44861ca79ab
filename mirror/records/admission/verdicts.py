"""Ports to the records with which plugins are judged: verdicts, rejections and held plugins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mirror.oci import Digest, Manifest, Repository
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admission.admissions import Admission, Rejection
from mirror.records.admission.arrivals import Arrivals

#: Policy identifier of a server without a policy. Such a server only denies plugins that cannot be read with certainty.
NO_POLICY: Final = "none"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Privileges of plugins that were admitted under a name.

    Attributes:
        asked: privileges of the last plugin that this policy or a person admitted; None if there is none.
        recorded: new privileges of the plugin in question as another policy found them; None if no other policy
            admitted the plugin.
        others_gone: True if other plugins were judged under the name by any policy and have been deleted since.
    """

    asked: frozenset[RequestedPrivilege] | None = None
    recorded: tuple[RequestedPrivilege, ...] | None = None
    others_gone: bool = False


class Verdicts(Protocol):
    """Port that stores verdicts by the fingerprint of the policy that gave them."""

    @property
    def admission_generation(self) -> int | None:
        """Counter of changes. An answer may be cached while the counter stays the same; None forbids caching."""
        ...

    async def admission(
        self, repository: Repository, digest: Digest, policy: str | None, fingerprints: Collection[str]
    ) -> Admission | None:
        """Return the stored admission of a plugin; None if there is none.

        Args:
            repository: repository of the plugin.
            digest: digest of the plugin.
            policy: fingerprint of the policy whose verdict is wanted; None for the latest verdict. A verdict from
                before policies had fingerprints counts for every policy.
            fingerprints: fingerprints of the plugin. A rejection of any of them covers the plugin.
        """
        ...

    async def baseline(self, repository: Repository, digest: Digest, policy: str) -> Baseline:
        """Return the privileges to compare a plugin with that this policy has not seen yet."""
        ...

    async def note_verdict(self, admission: Admission, policy: str) -> None:
        """Store the verdict of the policy and the privileges that the plugin requests. Replaces the earlier verdict."""
        ...

    async def forget_verdict(self, repository: Repository, digest: Digest, policy: str) -> None:
        """Delete the verdict of the policy."""
        ...


class Rejections(Protocol):
    """Port that stores rejections by people, and the fingerprints that they cover."""

    async def has_rejections(self) -> bool:
        """Return True if any rejection exists."""
        ...

    async def extend_rejection(self, rejection: Rejection, fingerprints: Collection[str]) -> None:
        """Add fingerprints of the same content to a rejection. Does nothing if the rejection was lifted meanwhile."""
        ...


class PluginBlobs(Protocol):
    """Port that finds the plugins of a repository, complete or incomplete, and the manifests that name a blob.

    A manifest that an engine might take for a plugin counts as a plugin.
    """

    async def plugin(self, repository: Repository, digest: Digest) -> Manifest | None:
        """Return the manifest of a complete or incomplete plugin; None if the repository does not hold the plugin."""
        ...

    async def holds_plugins(self, repository: Repository) -> bool:
        """Return True if the repository holds plugins."""
        ...

    async def plugins_naming(
        self, repository: Repository, blob: Digest, limit: int, limit_bytes: int
    ) -> Sequence[Digest]:
        """Return the plugins with this blob as config or layer. Plugins that a person or a policy admitted come first.

        Args:
            repository: repository of the plugins.
            blob: digest of the blob.
            limit: maximum number of plugins.
            limit_bytes: maximum total size of their manifests in bytes.
        """
        ...

    async def is_named_otherwise(self, repository: Repository, blob: Digest) -> bool:
        """Return True if a manifest of the repository that is no plugin names the blob."""
        ...


class HeldPlugins(PluginBlobs, Protocol):
    """Port that finds the plugins of a repository by their blobs, and by the order of their arrival."""

    async def plugins_before(self, repository: Repository, digest: Digest, limit: int) -> Sequence[Digest]:
        """Return plugins that arrived before this one, or all plugins if this one is not held.

        Returns:
            At most ``limit`` digests: the newest plugins, oldest first.
        """
        ...


@dataclass(frozen=True, slots=True)
class AdmissionRecords:
    """Records with which plugins are judged.

    Attributes:
        verdicts: verdicts of policies.
        rejections: rejections by people.
        plugins: held plugins.
        arrivals: sources of plugins.
    """

    verdicts: Verdicts
    rejections: Rejections
    plugins: HeldPlugins
    arrivals: Arrivals
