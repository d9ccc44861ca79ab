"""What is remembered of plugins that wanted to be let in: what the policy said, and what a person decided.

By repository and digest: a name that may hold something says nothing about another name. Our store is
:class:`Admissions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from mirror.oci.digest import Digest
from mirror.oci.names import Repository, Tag
from mirror.plugin.policy import Action, Verdict
from mirror.plugin.privilege_pattern import Asked, shown


class State(StrEnum):
    """How a plugin stands."""

    #: The policy lets it in.
    ADMITTED = "admitted"
    #: The policy holds it, and nobody has decided.
    HELD = "held"
    #: Somebody has let it in.
    APPROVED = "approved"
    #: Somebody has refused it.
    REJECTED = "rejected"
    #: The policy refuses it, and nobody can let it in but who changes the policy.
    DENIED = "denied"

    @classmethod
    def of(cls, action: Action | None, approved: bool | None) -> State:  # noqa: FBT001 - the two columns it is made of
        """How something stands. A person's refusal goes before what the policy says; an approval lets in what is held.

        Args:
            action: what the policy says; None: it has not been asked.
            approved: what a person decided; None: nobody has.
        """
        if approved is False:
            return cls.REJECTED
        if action is Action.DENY:
            return cls.DENIED
        if approved:
            return cls.APPROVED
        return cls.HELD if action is Action.HOLD else cls.ADMITTED

    @property
    def is_served(self) -> bool:
        """Whether hosts may have it."""
        return self in {State.ADMITTED, State.APPROVED}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided.

    Attributes:
        approved: let in, or refused.
        by: who.
        at: when, in UTC.
        note: why, in that person's words; may be empty.
    """

    approved: bool
    by: str
    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """A plugin under one name.

    Attributes:
        repository, digest: the plugin.
        noted_at: when it was first seen, in UTC.
        verdict: what the policy said last, without warnings; None: it has not been asked.
        asked: what the plugin asks for; None: it has not been read.
        grown: what of that the last plugin let in before it did not ask for.
        decision: what a person decided; None: nobody has.
        tags: what points to it, where that was looked for.
    """

    repository: Repository
    digest: Digest
    noted_at: datetime
    verdict: Verdict | None = None
    asked: tuple[Asked, ...] | None = None
    grown: tuple[Asked, ...] = ()
    decision: Decision | None = None
    tags: tuple[Tag, ...] = ()

    @property
    def state(self) -> State:
        """How it stands."""
        action = None if self.verdict is None else self.verdict.action
        return State.of(action, None if self.decision is None else self.decision.approved)

    @property
    def sentence(self) -> str:
        """How it stands and why, in one sentence."""
        name = f"{self.repository}@{self.digest}"
        if self.decision is not None and self.state in {State.REJECTED, State.APPROVED}:
            note = f": {self.decision.note}" if self.decision.note else ""
            return f"{name} was {self.state} by {self.decision.by} on {self.decision.at:%Y-%m-%d}{note}"
        if self.verdict is None or self.state is State.ADMITTED:
            return f"{name} is admitted"
        told = f"{self.repository} is {self.state} by the rule {self.verdict.rule!r}: it {self.verdict.reason}"
        if self.state is State.DENIED:
            return told
        return f"{told}; to let it in, on the mirror: plugin-mirror admission approve {name}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        verdict, decision = self.verdict, self.decision
        return {
            "name": str(self.repository),
            "digest": str(self.digest),
            "tags": [str(tag) for tag in self.tags],
            "state": self.state.value,
            "noted_at": self.noted_at.isoformat(timespec="seconds"),
            "action": None if verdict is None else verdict.action.value,
            "rule": None if verdict is None else verdict.rule,
            "reason": None if verdict is None else verdict.reason,
            "asks_for": None if self.asked is None else list(map(shown, self.asked)),
            "new": list(map(shown, self.grown)),
            "decided_by": None if decision is None else decision.by,
            "decided_at": None if decision is None else decision.at.isoformat(timespec="seconds"),
            "note": None if decision is None else decision.note,
        }


class Admissions(Protocol):
    """Where it is kept, for all processes."""

    @property
    def admission_generation(self) -> int | None:
        """What was read under a count is good for as long as it is the same; None: it is not to be kept."""
        ...

    async def admission(self, repository: Repository, digest: Digest) -> Admission | None:
        """What is known of a plugin; None: nothing."""
        ...

    async def last_admitted(self, repository: Repository) -> tuple[Asked, ...] | None:
        """What the plugin asks for that was let in last under the name, by policy or person; None: none was."""
        ...

    async def note_verdict(self, admission: Admission) -> None:
        """Keep what the policy says, and what the plugin asks for, in place of what was known. Decisions stay."""
        ...

    async def decide(self, repository: Repository, digest: Digest, decision: Decision) -> Admission:
        """Keep what a person decided, in place of what one had, also of a plugin that is not here yet."""
        ...

    async def admissions(self, state: State | None = None) -> Sequence[Admission]:
        """What is known of plugins that are here, or were decided about, the latest first; of one state, or all."""
        ...

    async def count_admissions(self) -> Mapping[State, int]:
        """How many of those stand in which way."""
        ...
