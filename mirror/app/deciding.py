"""What people decide about plugins: approvals of one digest under one name, and rejections of a content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.app.stores import layer_reading, open_store, policy_judge
from mirror.filters.fingerprints import Fingerprints
from mirror.filters.judging import Judge
from mirror.filters.plugin_reading import PluginReading
from mirror.oci.digest import Digest
from mirror.oci.errors import (
    BlobUnknown,
    ClientFault,
    ConfigurationFault,
    Denied,
    ManifestBlobUnknown,
    ManifestUnknown,
    NotFound,
)
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Repository, Tag
from mirror.plugin.privilege_pattern import Asked
from mirror.registry.admissions import Admission, Decision, Subject
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings
from mirror.store.registry import Store

_CLOCK = SystemClock()
_MOST_TEXT_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an approval of a tag would be of.

    Attributes:
        repository: the name.
        digest: what the tag points to now.
        members: the plugins that would be approved, with what each asks for; None where that cannot be read yet.
    """

    repository: Repository
    digest: Digest
    members: Sequence[tuple[Digest, tuple[Asked, ...] | None]]


def policy_of(settings: Settings) -> str | None:
    """The fingerprint of the configured policy; None: there is none, and what was said last is told."""
    policy = settings.admission.policy()
    return None if policy is None else policy.fingerprint


async def proposed(settings: Settings, reference: Reference) -> Proposal:
    """What somebody would approve who approves a tag.

    Raises:
        ManifestUnknown: there is no such tag here. ConfigurationFault: it is in another registry.
    """
    _require_ours(reference)
    async with open_store(settings, must_exist=True) as store:
        repository, manifest = reference.repository, await _held(store, reference.repository, reference.target)
        if manifest is None:
            raise _not_here(repository, reference.target)
        return Proposal(
            repository,
            manifest.digest,
            [(digest, await _asked(store, repository, digest)) for digest in _members(manifest)],
        )


async def decide(
    settings: Settings,
    reference: Reference,
    *,
    approved: bool,
    by: str,
    note: str,
    overrule: bool = False,
    expected: Digest | None = None,
) -> list[Admission]:
    """Approve or reject a plugin in our own store, as :func:`decide_in` does.

    Args:
        settings: where the store is, and whose verdict is told.
        reference: the plugin.
        approved, by, note, overrule: as there.
        expected: what a tag must point to.

    Raises:
        ConfigurationFault: it is in another registry, or the tag points to something else.
    """
    _require_ours(reference)
    async with open_store(settings, must_exist=True) as store:
        if expected is not None:
            held = await _held(store, reference.repository, reference.target)
            if held is None:
                raise _not_here(reference.repository, reference.target)
            if held.digest != expected:
                raise ConfigurationFault(_has_moved(reference.repository, reference.target, held.digest, expected))
        target = expected or reference.target
        judge = policy_judge(store, settings, layer_reading(settings))
        return await decide_in(
            store, reference.repository, target, judge, approved=approved, by=by, note=note, overrule=overrule
        )


async def decide_in(
    store: Store,
    repository: Repository,
    target: Tag | Digest,
    judge: Judge,
    *,
    approved: bool,
    by: str,
    note: str,
    overrule: bool = False,
    expected: Digest | None = None,
    may_decide: Callable[[Repository | None], bool] = lambda _repository: True,
) -> list[Admission]:
    """Approve or reject a plugin, or every plugin of an index. It is known to all processes when this returns.

    Args:
        store: where it is held, or will be: a digest need not be here yet.
        repository, target: its name. To approve a tag, ``expected`` is needed.
        judge: tells how the plugin stands with the decision.
        approved: which of the two.
        by, note: who decides, and why; at most 255 characters each.
        overrule: whether an approval lifts rejections of the content, under every name.
        expected: what the tag must point to: whoever approves has looked at that.
        may_decide: whether whoever decides may do so in a repository, or, given None, in all.

    Raises:
        ManifestUnknown, RepositoryUnknown: no such tag.
        ClientFault: a text is too long, nobody is named, or the tag points to something else than is expected.
        Denied: it approves what was rejected, and does not overrule; or it rejects what is held, or may come, where
            whoever decides may not.
    """
    if not by.strip() or not by.isprintable() or not note.isprintable() or max(len(by), len(note)) > _MOST_TEXT_LENGTH:
        raise ClientFault(
            f"who decides must be named, in one line, and notes are one line, of {_MOST_TEXT_LENGTH} at most"
        )
    manifest = await _held(store, repository, target)
    if manifest is None and isinstance(target, Tag):
        raise _not_here(repository, target)
    if approved and isinstance(target, Tag) and expected is None:
        raise ClientFault(f"a tag may move: name the digest that is to be approved, which {target} must point to")
    if expected is not None and manifest is not None and manifest.digest != expected:
        raise ClientFault(_has_moved(repository, target, manifest.digest, expected))
    digests = _members(manifest) if manifest is not None else [target] if isinstance(target, Digest) else []
    subjects = [await _subject(store, repository, digest) for digest in digests]
    if not approved and not may_decide(None):
        for subject in subjects:
            await _require_theirs(store, repository, subject, may_decide)
    decision = Decision(approved, by.strip(), _CLOCK.now(), note.strip())
    await store.records.decisions.decide(repository, subjects, decision, overrule=overrule)
    decided = [await _standing(store, repository, subject, judge) for subject in subjects]
    return [admission for admission in decided if admission is not None]


def _require_ours(reference: Reference) -> None:
    if reference.host is not None:
        raise ConfigurationFault(f"{reference} is in another registry: decide there, or name what is held here")


def _not_here(repository: Repository, target: Tag | Digest) -> ManifestUnknown:
    return ManifestUnknown(
        f"no tag {target} of {repository} is here: name a digest, which may come later",
        name=repository,
        reference=target,
    )


def _has_moved(repository: Repository, target: Tag | Digest, digest: Digest, expected: Digest) -> str:
    return f"nothing was decided: {repository}:{target} points to {digest}, and not to {expected}"


def _members(manifest: Manifest) -> list[Digest]:
    return [member.digest for member in manifest.manifests] or [manifest.digest]


async def _held(store: Store, repository: Repository, target: Tag | Digest) -> Manifest | None:
    """A manifest that is here, or is being pulled through: of a tag, the one that hosts are given."""
    if isinstance(target, Tag):
        origin = await store.records.origins.origin(repository, target)
        pulled = None if origin is None else await _held(store, repository, origin.digest)
        if pulled is not None:
            return pulled
    try:
        return await store.get_manifest(repository, target)
    except NotFound:
        return await store.records.incomplete.incomplete(repository, target) if isinstance(target, Digest) else None


async def _require_theirs(
    store: Store, repository: Repository, subject: Subject, may_decide: Callable[[Repository | None], bool]
) -> None:
    """See to it that a rejection, which holds everywhere, takes nothing from repositories that are not theirs.

    Raises:
        Denied: it would, or what is rejected is not here, so that it may come anywhere.
    """
    holding = await store.records.decisions.holding(subject)
    if repository in holding and all(map(may_decide, holding)):
        return
    raise Denied(
        f"{repository}@{subject.digest} was not rejected: a rejection holds in every repository, and the content is "
        "held, or may come, where you may not decide; it needs the right to approve everywhere",
        name=repository,
        digest=subject.digest,
    )


async def _standing(store: Store, repository: Repository, subject: Subject, judge: Judge) -> Admission | None:
    """The standing of a plugin, judged now where that can be."""
    manifest = await _held(store, repository, subject.digest)
    if manifest is not None and judge.concerns(manifest):
        try:
            judged = await judge.judge(repository, manifest)
        except (NotFound, ManifestBlobUnknown):
            pass  # it is not all here, and judged when it is
        else:
            await judge.note(judged)
            return judged.admission
    return await store.records.verdicts.admission(repository, subject.digest, judge.policy_id, subject.fingerprints)


async def _subject(store: Store, repository: Repository, digest: Digest) -> Subject:
    """What is known of a plugin, under whichever name it is held."""
    manifest = await _held(store, repository, digest)
    if manifest is None:
        found = await store.records.plugins.plugin_anywhere(digest)
        if found is None:
            return Subject.absent(digest)
        repository, manifest = found
    fingerprints = await Fingerprints(store).of(repository, manifest)
    return Subject(digest, fingerprints, None if manifest.config is None else manifest.config.digest)


async def _asked(store: Store, repository: Repository, digest: Digest) -> tuple[Asked, ...] | None:
    manifest = await _held(store, repository, digest)
    if manifest is None or not manifest.is_plugin:
        return None
    try:
        return (await PluginReading(store, None, None).facts(repository, manifest)).asked
    except BlobUnknown:
        return None
