"""Table of all kinds of findings, collected from the tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mirror.plugin.findings import (
    config_findings,
    manifest_findings,
    mount_findings,
    name_findings,
    rootfs_findings,
    script_findings,
    setting_findings,
)
from mirror.plugin.findings.finding import Finding
from mirror.plugin.findings.finding_kind import FindingKind

#: Every kind of finding by the name of its constant, in the order of the tables.
FINDING_KINDS: Final = {
    name: value
    for table in (
        manifest_findings,
        config_findings,
        setting_findings,
        mount_findings,
        name_findings,
        rootfs_findings,
        script_findings,
    )
    for name, value in vars(table).items()
    if isinstance(value, FindingKind)
}

_REFUSED: Final = frozenset((kind.code, kind.severity) for kind in FINDING_KINDS.values() if kind.refuses_push)


def refusals(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings for which the server refuses a plugin, and for which ``pack`` builds none."""
    return tuple(finding for finding in findings if (finding.code, finding.severity) in _REFUSED)
