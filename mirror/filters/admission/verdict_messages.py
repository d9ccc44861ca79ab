"""Log line and error for a judged plugin."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from mirror.oci.errors import Denied
from mirror.plugin.policy.admission_policy import PolicyVerdict
from mirror.plugin.policy.policy_action import PolicyAction
from mirror.records.admission.admissions import Admission, AdmissionState

_LOG = structlog.get_logger(__name__)


def tell(admission: Admission, counted: Callable[[PolicyAction], None]) -> None:
    """Count a verdict. Also log it unless the plugin is simply admitted."""
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
    """Return the error with the reason for a client who may not pull or push a plugin."""
    verdict = admission.verdict
    return Denied(
        admission.sentence,
        name=admission.repository,
        digest=admission.digest,
        state=admission.state.value,
        rule="" if verdict is None else verdict.rule,
    )


def says_the_same(one: PolicyVerdict | None, other: PolicyVerdict | None) -> bool:
    """Return True if two verdicts have the same action, rule and reason, so people would be told the same."""
    if one is None or other is None:
        return one is other
    return (one.action, one.rule, one.reason) == (other.action, other.rule, other.reason)
