"""Table of all kinds of findings, collected from the three tables."""

from __future__ import annotations

from typing import Final

from mirror.plugin.lint import config_findings, manifest_findings, rootfs_findings
from mirror.plugin.lint.finding_kind import FindingKind

#: Every kind of finding by the name of its constant, in the order of the tables.
FINDING_KINDS: Final = {
    name: value
    for table in (manifest_findings, config_findings, rootfs_findings)
    for name, value in vars(table).items()
    if isinstance(value, FindingKind)
}
