"""The open store of a running server, which follows other settings after a reload."""

from __future__ import annotations

from collections.abc import Sequence

from mirror.oci import Repository, Tag
from mirror.settings import Settings
from mirror.settings.storage.repository_settings import RepositorySettings, immutable_tags
from mirror.store.registry import Store


class LiveImmutableTags:
    """The immutable tags of a running server, which a reload changes.

    Args:
        sections: the section ``repositories``.
    """

    def __init__(self, sections: Sequence[RepositorySettings]) -> None:
        self.follow(sections)

    def __call__(self, repository: Repository, tag: Tag) -> bool:
        return self._is_immutable(repository, tag)

    def follow(self, sections: Sequence[RepositorySettings]) -> None:
        """Follow another section from now on."""
        self._is_immutable = immutable_tags(sections)


def adapt_store(store: Store, settings: Settings, immutable: LiveImmutableTags) -> None:
    """Let an open store follow other settings, as :func:`open_store` would have opened it."""
    immutable.follow(settings.repositories)
    store.adapt(
        session_limits=settings.server.limits.of_sessions(),
        kept_free=settings.storage.kept_free,
        keeps_changes=settings.keeps_changes,
    )
