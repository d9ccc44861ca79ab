"""Log line and error of a plugin that was judged."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from mirror.oci.errors import Denied
from mirror.plugin.policy.admission_policy import PolicyAction, PolicyVerdict
from mirror.records.admissions import Admission, AdmissionState

_LOG = structlog.get_logger(__name__)


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
