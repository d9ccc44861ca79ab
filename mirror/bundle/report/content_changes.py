"""Changes that a bundle brings: its names compared with what the receiver holds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.report.content_facts import ContentFacts
from mirror.oci import Digest
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, added_privileges


class NameStatus(StrEnum):
    """Status of a name of a bundle at the receiver."""

    #: The receiver has no content under the name.
    NEW = "new"
    #: The receiver has other content under the name.
    CHANGED = "changed"
    #: The receiver has the same content under the name.
    SAME = "same"


@dataclass(frozen=True, slots=True)
class NameChange:
    """Change that a bundle brings to one name.

    Attributes:
        named: the name and its content.
        status: status of the name at the receiver.
        before: digest that the receiver has under the name; None if there is none.
        facts: facts about the content; None if neither the content nor a report is there.
        is_reported: True if the facts are only those that the sender reports, because the content is not there.
        privileges: privileges of the content, with those of the members of an index; None if not known.
        added: privileges that nothing of the repository at the receiver has.
        removed: privileges that the former content under the name has, and the new content has not.
    """

    named: NamedManifest
    status: NameStatus
    before: Digest | None = None
    facts: ContentFacts | None = None
    is_reported: bool = False
    privileges: tuple[RequestedPrivilege, ...] | None = None
    added: tuple[RequestedPrivilege, ...] = ()
    removed: tuple[RequestedPrivilege, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        facts = {} if self.facts is None else self.facts.to_json()
        return {
            "name": str(self.named),
            "digest": str(self.named.descriptor.digest),
            "status": self.status.value,
            "before": self.before and str(self.before),
            **facts,
            "privileges": None if self.privileges is None else _as_json(self.privileges),
            "added": _as_json(self.added),
            "removed": _as_json(self.removed),
            "only_reported": self.is_reported,
        }


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """Facts about the content of a bundle and of its receiver, by digest.

    Attributes:
        found: facts that follow from content.
        reported: facts that the sender reports.
    """

    found: Mapping[Digest, ContentFacts]
    reported: Mapping[Digest, ContentFacts]

    def about(self, digest: Digest) -> ContentFacts | None:
        """Return the facts about a manifest, from its content if that is there; None if there are none."""
        return self.found.get(digest) or self.reported.get(digest)

    def privileges(self, digest: Digest) -> tuple[RequestedPrivilege, ...] | None:
        """Return the privileges of a plugin, or of the known members of an index; None if they are not known."""
        found: dict[RequestedPrivilege, None] = {}
        waiting, seen, known = [digest], set[Digest](), False
        while waiting:
            current = waiting.pop()
            facts = None if current in seen else self.about(current)
            seen.add(current)
            if facts is None:
                continue
            if facts.privileges is None:
                return None
            known |= facts.kind != "index"
            found |= dict.fromkeys(facts.privileges)
            waiting += facts.members
        return tuple(found) if known else None


def compare_names(
    names: Iterable[NamedManifest], held: Mapping[str, Digest], facts: KnownFacts
) -> tuple[NameChange, ...]:
    """Return the change of each name: new and grown privileges first, and unchanged names last.

    Args:
        names: names in the bundle.
        held: digest of each name that the receiver has, by ``NAME:TAG`` and ``NAME@DIGEST``.
        facts: facts about the content of both.
    """
    of_repository: dict[str, set[RequestedPrivilege]] = {}
    for name, digest in held.items():
        repository, is_tag, _ = name.partition(":")
        if is_tag and "@" not in repository:
            of_repository.setdefault(repository, set()).update(facts.privileges(digest) or ())
    changes = (_change(named, held.get(str(named)), of_repository, facts) for named in names)
    return tuple(sorted(changes, key=lambda change: (_rank(change), str(change.named))))


def _change(
    named: NamedManifest,
    before: Digest | None,
    of_repository: Mapping[str, Collection[RequestedPrivilege]],
    facts: KnownFacts,
) -> NameChange:
    digest = named.descriptor.digest
    now = facts.privileges(digest)
    about, is_reported = facts.about(digest), digest in facts.reported and digest not in facts.found
    if before == digest:
        return NameChange(named, NameStatus.SAME, before, about, is_reported, now)
    former = () if before is None else facts.privileges(before) or ()
    # A new tag is compared with what the receiver has accepted of the same repository.
    compared = former if before is not None else of_repository.get(named.repository.name, ())
    return NameChange(
        named,
        NameStatus.NEW if before is None else NameStatus.CHANGED,
        before,
        about,
        is_reported,
        now,
        added_privileges(now or (), compared),
        () if now is None else added_privileges(former, now),
    )


_ORDER: Final = list(NameStatus)


def _rank(change: NameChange) -> tuple[bool, int]:
    return not change.added, _ORDER.index(change.status)


def _as_json(privileges: Iterable[RequestedPrivilege]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in privileges]
