"""What people decide about plugins: approvals of one digest under one name, and rejections of a content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mirror.app.stores import open_store
from mirror.filters.fingerprints import Fingerprints
from mirror.filters.plugin_reading import PluginReading
from mirror.oci.digest import Digest
from mirror.oci.errors import BlobUnknown, ClientFault, ConfigurationFault, ManifestUnknown, NotFound
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
        policy = policy_of(settings)
        return await decide_in(
            store, reference.repository, target, policy, approved=approved, by=by, note=note, overrule=overrule
        )


async def decide_in(
    store: Store,
    repository: Repository,
    target: Tag | Digest,
    policy: str | None,
    *,
    approved: bool,
    by: str,
    note: str,
    overrule: bool = False,
    expected: Digest | None = None,
) -> list[Admission]:
    """Approve or reject a plugin, or every plugin of an index. It is known to all processes when this returns.

    Args:
        store: where it is held, or will be: a digest need not be here yet.
        repository, target: its name. To approve a tag, ``expected`` is needed.
        policy: fingerprint of the policy whose verdict is told with the decision.
        approved: which of the two.
        by, note: who decides, and why; at most 255 characters each.
        overrule: whether an approval lifts rejections of the content, under every name.
        expected: what the tag must point to: whoever approves has looked at that.

    Raises:
        ManifestUnknown, RepositoryUnknown: no such tag.
        ClientFault: a text is too long, nobody is named, or the tag points to something else than is expected.
        Denied: it approves what was rejected, and does not overrule.
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
    decision = Decision(approved, by.strip(), _CLOCK.now(), note.strip())
    await store.decide(repository, subjects, decision, overrule=overrule)
    decided = [await store.admission(repository, one.digest, policy, one.fingerprints) for one in subjects]
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
    """A manifest that is here, or is being pulled through."""
    try:
        return await store.get_manifest(repository, target)
    except NotFound:
        origin = await store.origin(repository, target)
        digest = target if isinstance(target, Digest) else None if origin is None else origin.digest
        return None if digest is None else await store.incomplete(repository, digest)


async def _subject(store: Store, repository: Repository, digest: Digest) -> Subject:
    """What is known of a plugin, under whichever name it is held."""
    manifest = await _held(store, repository, digest)
    if manifest is None:
        found = await store.plugin_anywhere(digest)
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
