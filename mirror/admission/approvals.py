"""Approvals and rejections of plugins by people.

An approval covers one digest under one name. A rejection covers the content, under every name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from mirror.admission.held_manifests import HeldManifests
from mirror.admission.plugin_judge import Decisions, PluginJudge
from mirror.oci import Digest, Manifest, Repository, Tag, errors
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admission.admissions import Admission, AdmissionDecision, Subject
from mirror.records.admission.verdicts import Verdicts
from mirror.runtime.clock import Clock

_LOG = structlog.get_logger(__name__)
_MOST_TEXT_LENGTH: Final = 255

#: Returns True if the person may decide in a repository, or in all repositories if called with None.
MayDecide = Callable[[Repository | None], bool]


@dataclass(frozen=True, slots=True)
class ApprovalProposal:
    """The facts shown to a person who is asked to approve a tag.

    Attributes:
        repository: the name of the plugin.
        digest: the digest the tag points to now.
        members: digests of the plugins to be approved, each with its requested privileges; None for privileges not
            readable yet.
    """

    repository: Repository
    digest: Digest
    members: Sequence[tuple[Digest, tuple[RequestedPrivilege, ...] | None]]


@dataclass(frozen=True, slots=True)
class Approvals:
    """Records approvals and rejections of plugins in our own registry.

    Attributes:
        held: finds manifests.
        decisions: stores the decisions of people.
        verdicts: stores the verdicts of policies.
        judge: judges plugins by the policy.
        clock: gives the time of a decision.
    """

    held: HeldManifests
    decisions: Decisions
    verdicts: Verdicts
    judge: PluginJudge
    clock: Clock

    async def propose(self, repository: Repository, target: Tag | Digest) -> ApprovalProposal:
        """Return the facts to show before a tag is approved.

        Raises:
            ManifestUnknown: the repository has no such tag.
        """
        manifest = await self.held.require(repository, target)
        members = [(digest, await self._asked(repository, digest)) for digest in _members(manifest)]
        return ApprovalProposal(repository, manifest.digest, members)

    async def require_target(self, repository: Repository, target: Tag | Digest, expected: Digest) -> None:
        """Check that a tag still points to the digest expected by a command.

        Raises:
            ManifestUnknown: the repository has no such tag.
            ConfigurationFault: the tag points to another digest.
        """
        manifest = await self.held.require(repository, target)
        if manifest.digest != expected:
            raise errors.ConfigurationFault(_has_moved(repository, target, manifest.digest, expected))

    async def decide(
        self,
        repository: Repository,
        target: Tag | Digest,
        *,
        approved: bool,
        by: str,
        note: str = "",
        overrule: bool = False,
        expected: Digest | None = None,
        may_decide: MayDecide = lambda _repository: True,
    ) -> list[Admission]:
        """Approve or reject a plugin, or every plugin of an index. All processes know the decision when this returns.

        Args:
            repository: the name of the plugin.
            target: a tag, or a digest, which need not exist here yet. Approving a tag requires ``expected``.
            approved: True to approve, False to reject.
            by: the name of the deciding person, at most 255 characters.
            note: the reason, at most 255 characters.
            overrule: True if an approval also lifts rejections of the content, under every name.
            expected: the digest inspected by the person; the tag must still point to it.
            may_decide: returns True for the repositories where the person may decide.

        Returns:
            The admission of each plugin after the decision.

        Raises:
            ManifestUnknown, RepositoryUnknown: the tag does not exist.
            ClientFault: a text is too long, ``by`` is empty, or the tag points to another digest than ``expected``.
            Denied: an approval of rejected content without ``overrule``, or a rejection of content that exists or may
                appear in repositories where the person may not decide.
        """
        texts = (by, note)
        # Printable text only, which keeps line breaks and terminal escape sequences out of lists and logs.
        if not by.strip() or not all(map(str.isprintable, texts)) or max(map(len, texts)) > _MOST_TEXT_LENGTH:
            raise errors.ClientFault(
                f"'by' must name who decides; 'by' and 'note' are one line of at most {_MOST_TEXT_LENGTH} characters"
            )
        is_tag = isinstance(target, Tag)
        manifest = await (self.held.require if is_tag else self.held.find)(repository, target)
        # A tag may move between inspection and approval, so the digest that was inspected has to be named.
        if approved and is_tag and expected is None:
            raise errors.ClientFault(
                f"a tag may move, so approving {target} needs a digest; fix: name the digest that you inspected"
            )
        if expected is not None and manifest is not None and manifest.digest != expected:
            raise errors.ClientFault(_has_moved(repository, target, manifest.digest, expected))
        digests = _members(manifest) if manifest is not None else [target] if isinstance(target, Digest) else []
        subjects = [await self._subject(repository, digest) for digest in digests]
        # A rejection holds in every repository. An approval is of one name, whose right the caller has checked.
        if not approved and not may_decide(None):
            for subject in subjects:
                await self._require_theirs(repository, subject, may_decide)
        decision = AdmissionDecision(approved, by.strip(), self.clock.now(), note.strip())
        # All members of an index in one call, so that an index is never half approved.
        await self.decisions.decide(repository, subjects, decision, overrule=overrule)
        decided = [await self._standing(repository, subject) for subject in subjects]
        return [admission for admission in decided if admission is not None]

    async def _require_theirs(self, repository: Repository, subject: Subject, may_decide: MayDecide) -> None:
        """Check that a rejection takes nothing from repositories where the person may not decide.

        Raises:
            Denied: another repository holds the content, or nobody holds it yet and it may appear anywhere.
        """
        holding = await self.decisions.holding(subject)
        if repository in holding and all(map(may_decide, holding)):
            return
        raise errors.Denied(
            f"{repository}@{subject.digest} was not rejected: a rejection holds in every repository, and the content "
            "exists or may appear in repositories where you may not decide; "
            "fix: ask a user who may approve in every repository to reject it",
            name=repository,
            digest=subject.digest,
        )

    async def _standing(self, repository: Repository, subject: Subject) -> Admission | None:
        """Return the admission of a plugin, judging the plugin now if possible."""
        manifest = await self.held.find(repository, subject.digest)
        if manifest is not None and manifest.may_be_plugin:
            try:
                return await self.judge.assess(self.held.registry, repository, manifest)
            except (errors.NotFound, errors.ManifestBlobUnknown) as error:  # judged later, once all content is here
                _LOG.debug("plugin not judged yet", name=str(repository), error=str(error))
        return await self.verdicts.admission(repository, subject.digest, self.judge.policy_id, subject.fingerprints)

    async def _subject(self, repository: Repository, digest: Digest) -> Subject:
        """Return the subject of a decision, built from the plugin under whichever name holds it."""
        manifest = await self.held.find(repository, digest)
        if manifest is None:
            found = await self.held.plugin_anywhere(digest)
            if found is None:
                return Subject.absent(digest)
            repository, manifest = found
        fingerprints = await self.judge.fingerprints(self.held.registry, repository, manifest)
        return Subject(digest, fingerprints, None if manifest.config is None else manifest.config.digest)

    async def _asked(self, repository: Repository, digest: Digest) -> tuple[RequestedPrivilege, ...] | None:
        manifest = await self.held.find(repository, digest)
        if manifest is None or not manifest.is_plugin:
            return None
        try:
            return await self.judge.asked(self.held.registry, repository, manifest)
        except errors.BlobUnknown:
            return None


def _has_moved(repository: Repository, target: Tag | Digest, digest: Digest, expected: Digest) -> str:
    return (
        f"no decision was recorded: {repository}:{target} points to {digest}, not to {expected}; fix: inspect it again"
    )


def _members(manifest: Manifest) -> list[Digest]:
    # Each member of an index is a plugin of its own, with an admission of its own.
    return [member.digest for member in manifest.manifests] or [manifest.digest]
