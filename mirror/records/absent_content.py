"""Content that a manifest names and its repository lacks on purpose, or because the upstream lacks it.

A manifest keeps its bytes and its digest, whatever of its content is left out. So the records tell what is absent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mirror.oci import Digest, Repository


class AbsenceReason(StrEnum):
    """Reason for the absence of content."""

    #: The setting ``platforms`` of a rule leaves the member out.
    PLATFORM = "platform"
    #: The upstream has the index, but no longer the member.
    GONE = "gone upstream"
    #: The layer lies elsewhere, and the upstream does not have it or the rule does not allow it.
    FOREIGN = "foreign layer"


@dataclass(frozen=True, slots=True)
class AbsentContent:
    """Member of an index, or foreign layer, that its repository does not hold.

    Attributes:
        manifest: digest of the manifest that names the content.
        digest: digest of the content.
        reason: reason for the absence.
        detail: platform of a member, or empty. For a foreign layer, the setting under which a rule left the layer out,
            or empty.
    """

    manifest: Digest
    digest: Digest
    reason: AbsenceReason
    detail: str = ""

    @property
    def sentence(self) -> str:
        """Phrase for users: the content and the reason for its absence."""
        match self.reason:
            case AbsenceReason.PLATFORM:
                return f"{self.detail} ({self.digest}) is left out by the setting platforms"
            case AbsenceReason.GONE:
                return f"{self.detail or 'the member'} ({self.digest}) is gone upstream"
            case AbsenceReason.FOREIGN if not self.detail:
                return f"the foreign layer {self.digest} is not here"
            case AbsenceReason.FOREIGN:
                return f"the foreign layer {self.digest} is left out (foreign_layers: {self.detail})"

    def to_json(self) -> dict[str, str]:
        """Return the absence as plain values."""
        return {
            "manifest": str(self.manifest),
            "digest": str(self.digest),
            "reason": self.reason.value,
            "detail": self.detail,
        }


class AbsentContents(Protocol):
    """Port that stores absent content. Content that a repository holds by now is never returned."""

    async def record_absent(
        self, repository: Repository, manifest: Digest, contents: Collection[AbsentContent]
    ) -> None:
        """Record everything that a manifest lacks, in place of what was recorded for the manifest earlier.

        A repository accepts a manifest although it lacks this content.
        """
        ...

    async def absent_content(
        self, repository: Repository, *, manifest: Digest | None = None, digest: Digest | None = None
    ) -> Sequence[AbsentContent]:
        """Return the absent content of a repository.

        Args:
            repository: the repository.
            manifest: manifest that names the content. None for any.
            digest: digest of the content. None for any.
        """
        ...


def warnings_about(contents: Iterable[AbsentContent]) -> tuple[str, ...]:
    """Return the warnings about content that is absent although it is wanted, not very many."""
    by_digest = {each.digest: each.sentence for each in contents if each.reason is not AbsenceReason.PLATFORM}
    shown = [*by_digest.values()][:_MOST_SHOWN]
    more = len(by_digest) - len(shown)
    return (*shown, *([f"{more} more are absent"] if more else []))


def by_manifest(contents: Iterable[AbsentContent]) -> Mapping[Digest, tuple[AbsentContent, ...]]:
    """Group absent content by the manifest that names the content."""
    grouped: dict[Digest, list[AbsentContent]] = {}
    for each in contents:
        grouped.setdefault(each.manifest, []).append(each)
    return {manifest: tuple(group) for manifest, group in grouped.items()}


_MOST_SHOWN = 4
