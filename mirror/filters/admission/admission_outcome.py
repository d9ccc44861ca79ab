"""The outcome of judging a plugin: its standing, the log line about it, and the error for a client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from mirror.oci.errors import Denied
from mirror.plugin.policy.admission_policy import PolicyAction, PolicyVerdict
from mirror.records.admissions import Admission, AdmissionState

_LOG = structlog.get_logger(__name__)


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


def tell(admission: Admission, counted: Callable[[PolicyAction], None]) -> None:
    """Count a decision, and log it where it is not simply that the plugin is let in."""
    verdict = admission.verdict
    if verdict is not None:
        counted(verdict.action)
    if admission.state is AdmissionState.REJECTED:
        reason = admission.sentence
    elif verdict is None or verdict.action is PolicyAction.ALLOW:
        return
    else:
        reason = "; ".join([f"it {verdict.reason}", *verdict.warnings])
    _LOG.warning(
        "plugin judged",
        name=str(admission.repository),
        digest=str(admission.digest),
        action=None if verdict is None else verdict.action.value,
        state=admission.state.value,
        rule=None if verdict is None else verdict.rule,
        reason=reason,
    )


def refusal(admission: Admission) -> Denied:
    """The error that tells a client why it may not have, or bring, a plugin."""
    verdict = admission.verdict
    return Denied(
        admission.sentence,
        name=admission.repository,
        digest=admission.digest,
        state=admission.state.value,
        rule="" if verdict is None else verdict.rule,
    )


def says_the_same(one: PolicyVerdict | None, other: PolicyVerdict | None) -> bool:
    """Whether two verdicts differ in nothing that people are told."""
    if one is None or other is None:
        return one is other
    return (one.action, one.rule, one.reason) == (other.action, other.rule, other.reason)
