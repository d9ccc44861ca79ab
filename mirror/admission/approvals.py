"""Approvals of one digest under one name, and rejections of a content, by people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from mirror.admission.held_manifests import HeldManifests
from mirror.admission.plugin_judge import Decisions, PluginJudge
from mirror.oci import Digest, Manifest, Repository, Tag, errors
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
from mirror.records.admissions import Admission, AdmissionDecision, Subject
from mirror.records.verdicts import Verdicts
from mirror.runtime.clock import Clock

_LOG = structlog.get_logger(__name__)
_MOST_TEXT_LENGTH: Final = 255

#: Tells whether somebody may decide in a repository or, given None, in all of them.
MayDecide = Callable[[Repository | None], bool]


@dataclass(frozen=True, slots=True)
class ApprovalProposal:
    """An approval of a tag, as somebody is asked for it.

    Attributes:
        repository: the name.
        digest: what the tag points to now.
        members: the plugins that would be approved, with what each asks for; None where that cannot be read yet.
    """

    repository: Repository
    digest: Digest
    members: Sequence[tuple[Digest, tuple[RequestedPrivilege, ...] | None]]


@dataclass(frozen=True, slots=True)
class Approvals:
    """Approves and rejects plugins of our own registry.

    Attributes:
        held: finds manifests.
        decisions: keeps what people decide.
        verdicts: keeps what policies say.
        judge: judges plugins by the policy.
        clock: tells when a decision is made.
    """

    held: HeldManifests
    decisions: Decisions
    verdicts: Verdicts
    judge: PluginJudge
    clock: Clock

    async def propose(self, repository: Repository, target: Tag | Digest) -> ApprovalProposal:
        """Tell what somebody would approve who approves a tag. Raises ManifestUnknown: there is no such tag here."""
        manifest = await self.held.require(repository, target)
        members = [(digest, await self._asked(repository, digest)) for digest in _members(manifest)]
        return ApprovalProposal(repository, manifest.digest, members)

    async def require_target(self, repository: Repository, target: Tag | Digest, expected: Digest) -> None:
        """Return where a tag points to what somebody expects who decides by a command.

        Raises:
            ManifestUnknown: there is no such tag here. ConfigurationFault: it points to something else.
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
        """Approve or reject a plugin, or every plugin of an index. All processes know it when this returns.

        Args:
            repository, target: its name. A digest need not be here yet. To approve a tag, ``expected`` is needed.
            approved: which of the two.
            by, note: who decides, and why; at most 255 characters each.
            overrule: whether an approval lifts rejections of the content, under every name.
            expected: what the tag must point to: whoever approves has looked at that.
            may_decide: tells where whoever decides may do so.

        Returns:
            How each plugin stands now.

        Raises:
            ManifestUnknown, RepositoryUnknown: no such tag.
            ClientFault: a text is too long, nobody is named, or the tag points to something else than is expected.
            Denied: it approves what was rejected, and does not overrule; or it rejects what is held, or may come,
                where whoever decides may not.
        """
        texts = (by, note)
        if not by.strip() or not all(map(str.isprintable, texts)) or max(map(len, texts)) > _MOST_TEXT_LENGTH:
            raise errors.ClientFault(
                f"who decides must be named, in one line, and notes are one line, of {_MOST_TEXT_LENGTH} at most"
            )
        is_tag = isinstance(target, Tag)
        manifest = await (self.held.require if is_tag else self.held.find)(repository, target)
        if approved and is_tag and expected is None:
            raise errors.ClientFault(
                f"a tag may move: name the digest that is to be approved, which {target} must point to"
            )
        if expected is not None and manifest is not None and manifest.digest != expected:
            raise errors.ClientFault(_has_moved(repository, target, manifest.digest, expected))
        digests = _members(manifest) if manifest is not None else [target] if isinstance(target, Digest) else []
        subjects = [await self._subject(repository, digest) for digest in digests]
        if not approved and not may_decide(None):
            for subject in subjects:
                await self._require_theirs(repository, subject, may_decide)
        decision = AdmissionDecision(approved, by.strip(), self.clock.now(), note.strip())
        await self.decisions.decide(repository, subjects, decision, overrule=overrule)
        decided = [await self._standing(repository, subject) for subject in subjects]
        return [admission for admission in decided if admission is not None]

    async def _require_theirs(self, repository: Repository, subject: Subject, may_decide: MayDecide) -> None:
        """See to it that a rejection, which holds everywhere, takes nothing from repositories that are not theirs.

        Raises:
            Denied: it would, or what is rejected is not here, so that it may come anywhere.
        """
        holding = await self.decisions.holding(subject)
        if repository in holding and all(map(may_decide, holding)):
            return
        raise errors.Denied(
            f"{repository}@{subject.digest} was not rejected: a rejection holds in every repository, and the content "
            "is held, or may come, where you may not decide; it needs the right to approve everywhere",
            name=repository,
            digest=subject.digest,
        )

    async def _standing(self, repository: Repository, subject: Subject) -> Admission | None:
        """Tell how a plugin stands; it is judged now where that can be."""
        manifest = await self.held.find(repository, subject.digest)
        if manifest is not None and manifest.may_be_plugin:
            try:
                return await self.judge.assess(self.held.registry, repository, manifest)
            except (errors.NotFound, errors.ManifestBlobUnknown) as error:  # it is judged when the rest of it has come
                _LOG.debug("plugin not judged yet", name=str(repository), error=str(error))
        return await self.verdicts.admission(repository, subject.digest, self.judge.policy_id, subject.fingerprints)

    async def _subject(self, repository: Repository, digest: Digest) -> Subject:
        """A plugin as somebody decides about it, under whichever name it is held."""
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
    return f"nothing was decided: {repository}:{target} points to {digest}, and not to {expected}"


def _members(manifest: Manifest) -> list[Digest]:
    return [member.digest for member in manifest.manifests] or [manifest.digest]
