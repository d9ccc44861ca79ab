"""Deletion of tags, manifests and repositories by the command ``rm``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mirror.app.services import open_store
from mirror.app.storage.collecting import collection_rules
from mirror.oci import Digest, Reference, Repository, Tag
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_mapping import NameMapping
from mirror.records.lifecycle.deletions import Deletion, RepositoryContent
from mirror.records.lifecycle.review_causes import ReviewCause
from mirror.runtime.clock import SystemClock
from mirror.runtime.durations import duration_text
from mirror.settings import Settings
from mirror.store.registry import Store

_CLOCK = SystemClock()
#: Manifests or blobs deleted in one transaction. Pushes wait for a transaction to end.
_DELETED_IN_A_STEP: Final = 100


@dataclass(frozen=True, slots=True)
class NameToDelete:
    """Name given to ``rm``.

    Attributes:
        repository: the repository.
        target: tag or digest; None for the whole repository.
    """

    repository: Repository
    target: Tag | Digest | None

    @classmethod
    def parse(cls, text: str) -> NameToDelete:
        """Parse ``NAME``, ``NAME:TAG`` or ``NAME@DIGEST``.

        Raises:
            ConfigurationFault: the name is at another registry, or has a tag and a digest.
            NameInvalid, DigestInvalid: the text is outside the grammar.
        """
        reference = Reference.parse(text)
        if reference.host is not None:
            raise ConfigurationFault(
                f"{text} is at {reference.host}, and 'rm' deletes from the local store; "
                f"fix: leave {reference.host}/ out"
            )
        if reference.digest is None:
            # Other commands take NAME for NAME:latest. A deletion must not guess.
            return cls(reference.repository, reference.tag if ":" in text else None)
        if reference.tag is not None:
            raise ConfigurationFault(
                f"{text} has a tag and a digest; fix: write {reference.repository}:{reference.tag} to delete the tag, "
                f"or {reference.repository}@{reference.digest} to delete the content with all its tags"
            )
        return cls(reference.repository, reference.digest)

    def __str__(self) -> str:
        if self.target is None:
            return self.repository.name
        return f"{self.repository}{':' if isinstance(self.target, Tag) else '@'}{self.target}"


@dataclass(frozen=True, slots=True)
class DeletedName:
    """Result of the deletion of a name.

    Attributes:
        name: the name.
        deletion: what was deleted; None for a whole repository.
        content: number of tags, manifests and blobs that a repository held; None for a tag or a manifest.
        notes: sentences for the operator: what stays, until when, and what comes back.
    """

    name: NameToDelete
    deletion: Deletion | None
    content: RepositoryContent | None
    notes: Sequence[str]


class NameDeleter:
    """Deletes names. Made by :func:`opened_deleter`.

    Args:
        settings: rules that may bring content back, and the times for which content stays.
        store: the open store.
        dry_run: True to change nothing.
    """

    def __init__(self, settings: Settings, store: Store, *, dry_run: bool) -> None:
        self._settings = settings
        self._deletions = store.records.deletions
        self._dry_run = dry_run
        self._rules = [section.rule() for section in settings.mirrors]

    async def content(self, name: NameToDelete) -> RepositoryContent:
        """Count the content of a repository. Raises RepositoryUnknown if it holds nothing."""
        return await self._deletions.content(name.repository)

    async def delete(self, name: NameToDelete) -> DeletedName:
        """Delete a name.

        Raises:
            ManifestUnknown, RepositoryUnknown: the store does not have it.
            ReferenceInUse: it is part of an index.
            StorageFault: the store failed.
        """
        repository, target = name.repository, name.target
        if target is None:
            content = await self._delete_repository(repository)
            return DeletedName(name, None, content, [self._later(), *self._returns(name, None)])
        deletion = await (self._deletions.plan if self._dry_run else self._deletions.delete)(repository, target)
        return DeletedName(name, deletion, None, self._notes(name, deletion))

    async def _delete_repository(self, repository: Repository) -> RepositoryContent:
        content, began = await self._deletions.content(repository), _CLOCK.now()
        while not self._dry_run and await self._deletions.empty(repository, began, _DELETED_IN_A_STEP):
            pass
        return content

    def _notes(self, name: NameToDelete, deletion: Deletion) -> list[str]:
        return [self._what_stays(name.repository, deletion), *self._returns(name, deletion.tags)]

    def _what_stays(self, repository: Repository, deletion: Deletion) -> str:
        content = f"{repository}@{deletion.digest}"
        if deletion.has_gone:
            return self._later()
        if deletion.others:
            return f"{content} stays: {_listed(deletion.others)} {'is' if len(deletion.others) == 1 else 'are'} it too"
        if deletion.indexes:
            return f"{content} stays: it is part of {repository}@{deletion.indexes[0]}"
        keep = collection_rules(self._settings).untagged_of(repository.name)
        until = "for good" if keep is None else f"for {_time(keep)}"
        return (
            f"{content} can still be pulled by its digest {until} (storage.untagged); "
            f"fix: 'plugin-mirror rm {content}' deletes it at once"
        )

    def _later(self) -> str:
        grace = collection_rules(self._settings).grace.of(ReviewCause.DELETED)
        return (
            f"blobs that nothing else needs are removed after {_time(grace)}; "
            "fix: 'plugin-mirror gc --grace 0s' removes them at once"
        )

    def _returns(self, name: NameToDelete, tags: Sequence[Tag] | None) -> list[str]:
        """Return sentences about content that a rule or pull-through will bring again.

        Args:
            name: the name given to ``rm``.
            tags: the tags deleted; None for a whole repository, whatever its tags.
        """
        repository = name.repository
        rules = [
            rule.name
            for rule in self._rules
            if (tags is None and any(names.may_give(repository) for names in rule.names))
            or any(rule.may_bring(repository, tag) for tag in tags or ())
        ]
        told = [
            f"mirror rule {rule} will bring {name} again at its next run; fix: change what the rule selects first"
            for rule in rules
        ]
        for section in self._settings.proxy:
            upstream, _, source = section.source.partition("/")
            if (found := NameMapping(section.to, source).apply(repository)) is not None:
                told.append(f"{name} will be pulled through again from {upstream}/{found} when somebody asks for it")
        return told


@asynccontextmanager
async def opened_deleter(settings: Settings, *, dry_run: bool = False) -> AsyncIterator[NameDeleter]:
    """Open the store for deletions. A server may be running on the same data folder.

    Raises:
        ConfigurationFault: there is no data folder.
        StorageFault: the store cannot be opened.
    """
    async with open_store(settings, must_exist=True, only_reads=dry_run) as store:
        yield NameDeleter(settings, store, dry_run=dry_run)


def _listed(tags: Sequence[Tag]) -> str:
    shown = ", ".join(tag.name for tag in tags[:5])
    return f"{shown} and {len(tags) - 5} more" if len(tags) > 5 else shown


def _time(duration: timedelta) -> str:
    return duration_text(duration)
