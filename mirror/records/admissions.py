"""Admissions of plugins: the verdict of a policy, and the decision of a person.

A verdict belongs to the policy that gave it, and an approval to one digest under one name. A rejection covers content,
under every name. Who remembers all that is in :mod:`mirror.records.verdicts`; our store does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mirror.oci import Digest, Repository, Tag
from mirror.oci.timestamps import machine_time
from mirror.plugin.policy.admission_policy import PolicyAction, PolicyVerdict
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, describe_privilege


class AdmissionState(StrEnum):
    """The state of a plugin's admission."""

    #: The policy lets it in.
    ADMITTED = "admitted"
    #: The policy holds it, and nobody has decided.
    HELD = "held"
    #: Somebody has let it in.
    APPROVED = "approved"
    #: Somebody has refused it, or the same content under another name or digest.
    REJECTED = "rejected"
    #: The policy refuses it, and nobody can let it in but who changes the policy.
    DENIED = "denied"

    @classmethod
    def of(cls, action: PolicyAction | None, *, approved: bool | None, rejected: bool) -> AdmissionState:
        """Derive the state. A rejection goes before everything else; an approval lets in what is held.

        Args:
            action: what the policy says; None: it has not been asked.
            approved: what a person decided about this digest under this name; None: nobody has.
            rejected: whether a person has refused the content, under whatever name.
        """
        if rejected or approved is False:
            return cls.REJECTED
        if action is PolicyAction.DENY:
            return cls.DENIED
        if approved:
            return cls.APPROVED
        return cls.HELD if action is PolicyAction.HOLD else cls.ADMITTED

    @property
    def is_served(self) -> bool:
        """True where hosts may have the plugin."""
        return self in {AdmissionState.ADMITTED, AdmissionState.APPROVED}


@dataclass(frozen=True, slots=True)
class AdmissionDecision:
    """A decision of a person.

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
class Rejection:
    """A refusal that covers a plugin's content.

    Attributes:
        repository, digest: what it was said of.
        decision: who said it, when and why.
        matched: the fingerprints of the plugin in question that it covers.
    """

    repository: Repository
    digest: Digest
    decision: AdmissionDecision
    matched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Subject:
    """A plugin that a person decides about.

    Attributes:
        digest: its manifest.
        fingerprints: all that are known of it; of one that is not here, the digest alone.
        config: digest of its config, where that is known.
    """

    digest: Digest
    fingerprints: tuple[str, ...]
    config: Digest | None = None

    @classmethod
    def absent(cls, digest: Digest) -> Subject:
        """One of which nothing but the digest is known."""
        return cls(digest, (str(digest),))


@dataclass(frozen=True, slots=True)
class Admission:
    """A plugin under one name.

    Attributes:
        repository, digest: the plugin.
        noted_at: when it was first seen by the policy, in UTC.
        verdict: what the policy said last, without warnings; None: it has not been asked.
        policy: fingerprint of that policy; None: no verdict.
        asked: what the plugin asks for; None: it has not been read.
        grown: what of that the last plugin let in before it did not ask for.
        decision: what a person decided about this digest under this name; None: nobody has.
        rejection: a refusal that covers its content, under whatever name; None: there is none.
        tags: what points to it, where that was looked for.
    """

    repository: Repository
    digest: Digest
    noted_at: datetime
    verdict: PolicyVerdict | None = None
    policy: str | None = None
    asked: tuple[RequestedPrivilege, ...] | None = None
    grown: tuple[RequestedPrivilege, ...] = ()
    decision: AdmissionDecision | None = None
    rejection: Rejection | None = None
    tags: tuple[Tag, ...] = ()

    @property
    def state(self) -> AdmissionState:
        """The state that verdict, decision and rejection result in."""
        return AdmissionState.of(
            None if self.verdict is None else self.verdict.action,
            approved=None if self.decision is None else self.decision.approved,
            rejected=self.rejection is not None,
        )

    @property
    def in_force(self) -> AdmissionDecision | None:
        """The person's decision that counts: a rejection of the content, else what was decided about this name."""
        return self.decision if self.rejection is None else self.rejection.decision

    @property
    def rejected_elsewhere(self) -> Rejection | None:
        """The rejection that covers it, where that was said of another name or digest."""
        rejection = self.rejection
        if rejection is None or (rejection.repository, rejection.digest) == (self.repository, self.digest):
            return None
        return rejection

    @property
    def sentence(self) -> str:
        """The state and its reason, in one sentence."""
        name = f"{self.repository}@{self.digest}"
        decision, state = self.in_force, self.state
        if decision is not None and state in {AdmissionState.REJECTED, AdmissionState.APPROVED}:
            said = f"by {decision.by} on {decision.at:%Y-%m-%d}{f': {decision.note}' if decision.note else ''}"
            elsewhere = self.rejected_elsewhere
            if elsewhere is None:
                return f"{name} was {state} {said}"
            return (
                f"{name} is rejected: it has the content of {elsewhere.repository}@{elsewhere.digest}, "
                f"which was rejected {said}"
            )
        if self.verdict is None or state is AdmissionState.ADMITTED:
            return f"{name} is admitted"
        told = f"{self.repository} is {state} by the rule {self.verdict.rule!r}: it {self.verdict.reason}"
        if state is AdmissionState.DENIED:
            return told
        return f"{told}; to let it in, on the mirror: plugin-mirror admission approve {name}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        verdict, decision, elsewhere = self.verdict, self.in_force, self.rejected_elsewhere
        return {
            "name": str(self.repository),
            "digest": str(self.digest),
            "tags": [str(tag) for tag in self.tags],
            "state": self.state.value,
            "noted_at": machine_time(self.noted_at),
            "action": None if verdict is None else verdict.action.value,
            "rule": None if verdict is None else verdict.rule,
            "reason": None if verdict is None else verdict.reason,
            "asks_for": None if self.asked is None else list(map(describe_privilege, self.asked)),
            "new": list(map(describe_privilege, self.grown)),
            "decided_by": None if decision is None else decision.by,
            "decided_at": None if decision is None else machine_time(decision.at),
            "note": None if decision is None else decision.note,
            "rejected_as": None if elsewhere is None else f"{elsewhere.repository}@{elsewhere.digest}",
        }


@dataclass(frozen=True, slots=True)
class AdmissionOutcome:
    """The standing of a plugin, as ``AdmissionController.judge`` has found it out.

    Attributes:
        admission: how the plugin stands.
        lacks: whether it is denied because something is not here yet.
        is_news: whether the verdict is not the one that is kept.
        is_told: whether somebody should hear of the verdict.
        uncovered: fingerprints that the rejection which covers it does not have yet.
        generation: the count of changes that it was found out under; None: it is not to be kept.
    """

    admission: Admission
    lacks: bool
    is_news: bool
    is_told: bool
    uncovered: frozenset[str]
    generation: int | None

    @property
    def is_refused(self) -> bool:
        """Whether it is not taken where it comes. What lacks something is taken: else that could never come."""
        state = self.admission.state
        return state is AdmissionState.REJECTED or (state is AdmissionState.DENIED and not self.lacks)


def not_approved(name: Repository, digest: Digest, rejection: Rejection) -> str:
    """Why a plugin cannot simply be approved, and what approves it all the same, in a sentence."""
    decision = rejection.decision
    note = f" ({decision.note})" if decision.note else ""
    return (
        f"{name}@{digest} was not approved: its content was rejected as {rejection.repository}@{rejection.digest} by "
        f"{decision.by} on {decision.at:%Y-%m-%d}{note}; to lift that rejection under every name: "
        f"plugin-mirror admission approve --overrule {name}@{digest}"
    )
