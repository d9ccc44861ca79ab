"""Admissions of plugins: verdicts of admission policies, and decisions of people.

A verdict belongs to the policy that gave it. An approval applies to one digest under one name. A rejection applies to
content under every name. The ports that store them are in :mod:`mirror.records.admission.verdicts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mirror.oci import Digest, Repository, Tag
from mirror.oci.timestamps import machine_time
from mirror.plugin.policy.policy_action import PolicyAction

if TYPE_CHECKING:  # commands import this module to list the states in their help
    from mirror.plugin.policy.admission_policy import PolicyVerdict
    from mirror.plugin.policy.privilege_pattern import RequestedPrivilege


class AdmissionState(StrEnum):
    """State of a plugin's admission."""

    #: The policy allows the plugin.
    ADMITTED = "admitted"
    #: The policy holds the plugin until a person decides.
    HELD = "held"
    #: A person approved the plugin.
    APPROVED = "approved"
    #: A person rejected the plugin, or the same content under another name or digest.
    REJECTED = "rejected"
    #: The policy denies the plugin. Only a change of the policy can allow it.
    DENIED = "denied"

    @classmethod
    def of(cls, action: PolicyAction | None, *, approved: bool | None, rejected: bool) -> AdmissionState:
        """Return the state that follows from a verdict and decisions.

        A rejection takes precedence over everything else. An approval overrules a hold, and never a denial.

        Args:
            action: action of the policy; None if the policy has no verdict.
            approved: decision of a person about this digest under this name; None if there is none.
            rejected: True if a person rejected the content under any name.
        """
        if rejected or approved is False:
            return cls.REJECTED
        # Before approvals: plugins that the policy denies are not for a person to decide.
        if action is PolicyAction.DENY:
            return cls.DENIED
        if approved:
            return cls.APPROVED
        return cls.HELD if action is PolicyAction.HOLD else cls.ADMITTED

    @property
    def is_served(self) -> bool:
        """True if hosts may pull the plugin."""
        return self in {AdmissionState.ADMITTED, AdmissionState.APPROVED}


@dataclass(frozen=True, slots=True)
class AdmissionDecision:
    """Decision of a person about a plugin.

    Attributes:
        approved: True for an approval, False for a rejection.
        by: name of the person.
        at: time of the decision, in UTC.
        note: reason in the person's words; may be empty.
    """

    approved: bool
    by: str
    at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Rejection that covers the content of a plugin.

    Attributes:
        repository: repository of the plugin that was rejected.
        digest: digest of the plugin that was rejected.
        decision: decision of the person who rejected the plugin.
        matched: fingerprints of the plugin in question that the rejection covers.
    """

    repository: Repository
    digest: Digest
    decision: AdmissionDecision
    matched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Subject:
    """Plugin that a person decides about.

    Attributes:
        digest: digest of the manifest.
        fingerprints: all known fingerprints. If the store does not hold the plugin, only the digest is known.
        config: digest of the config; None if unknown.
    """

    digest: Digest
    fingerprints: tuple[str, ...]
    config: Digest | None = None

    @classmethod
    def absent(cls, digest: Digest) -> Subject:
        """Return the subject for a digest that the store does not hold."""
        return cls(digest, (str(digest),))


@dataclass(frozen=True, slots=True)
class Admission:
    """Admission of one digest under one name.

    Attributes:
        repository: repository of the plugin.
        digest: digest of the plugin's manifest.
        noted_at: time at which the policy first saw the plugin, in UTC.
        verdict: last verdict of the policy, without warnings; None if there is none.
        policy: fingerprint of the policy that gave the verdict; None if there is no verdict.
        asked: privileges that the plugin requests; None if its config has not been read.
        grown: requested privileges that the plugin admitted before this one did not request.
        decision: decision of a person about this digest under this name; None if there is none.
        rejection: rejection that covers the content under any name; None if there is none.
        tags: tags that point to the plugin, if they were looked up.
    """

    repository: Repository
    digest: Digest
    noted_at: datetime
    verdict: PolicyVerdict | None = None
    policy: str | None = None
    asked: tuple[RequestedPrivilege, ...] | None = None
    # Found once, when the plugin is first seen. Otherwise the approval of a later version could change the state of an
    # earlier version that is served.
    grown: tuple[RequestedPrivilege, ...] = ()
    decision: AdmissionDecision | None = None
    rejection: Rejection | None = None
    tags: tuple[Tag, ...] = ()

    @property
    def state(self) -> AdmissionState:
        """State that follows from verdict, decision and rejection."""
        return AdmissionState.of(
            None if self.verdict is None else self.verdict.action,
            approved=None if self.decision is None else self.decision.approved,
            rejected=self.rejection is not None,
        )

    @property
    def in_force(self) -> AdmissionDecision | None:
        """Decision that applies: the rejection of the content, else the decision about this name."""
        return self.decision if self.rejection is None else self.rejection.decision

    @property
    def rejected_elsewhere(self) -> Rejection | None:
        """Rejection that covers the content and was made under another name or digest; None if there is none."""
        rejection = self.rejection
        if rejection is None or (rejection.repository, rejection.digest) == (self.repository, self.digest):
            return None
        return rejection

    @property
    def sentence(self) -> str:
        """State and reason in one sentence."""
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
        # No approval overrules a denial, so the sentence offers none.
        if state is AdmissionState.DENIED:
            return told
        return f"{told}; fix: run on the mirror: plugin-mirror admission approve {name}"

    def to_json(self) -> dict[str, Any]:
        """Return the admission as plain values for programs."""
        from mirror.plugin.policy.privilege_pattern import describe_privilege

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
    """Result of ``AdmissionController.judge`` for one plugin.

    Attributes:
        admission: admission of the plugin.
        lacks: True if the plugin is denied because some of its content has not arrived.
        is_news: True if the verdict differs from the stored one.
        is_told: True if the verdict is to be logged and counted.
        uncovered: fingerprints of the plugin that its rejection does not cover yet.
        generation: admission generation under which the result was found; None if the result must not be cached.
    """

    admission: Admission
    lacks: bool
    is_news: bool
    is_told: bool
    uncovered: frozenset[str]
    generation: int | None

    @property
    def is_refused(self) -> bool:
        """True if a push of the plugin is refused.

        A plugin that lacks content is accepted, because the missing content could otherwise never arrive.
        """
        state = self.admission.state
        return state is AdmissionState.REJECTED or (state is AdmissionState.DENIED and not self.lacks)


def not_approved(name: Repository, digest: Digest, rejection: Rejection) -> str:
    """Return a sentence that says why a plugin was not approved, and how to approve it nevertheless."""
    decision = rejection.decision
    note = f" ({decision.note})" if decision.note else ""
    return (
        f"{name}@{digest} was not approved: its content was rejected as {rejection.repository}@{rejection.digest} by "
        f"{decision.by} on {decision.at:%Y-%m-%d}{note}; fix: to lift the rejection under every name, run: "
        f"plugin-mirror admission approve --overrule {name}@{digest}"
    )
