"""Review of the content that an import would bring: the report of the sender, and the privileges that change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.importing.import_plan import ImportPlan
from mirror.bundle.importing.import_source import ImportSource
from mirror.bundle.report.content_changes import KnownFacts
from mirror.bundle.report.content_facts import ContentFacts
from mirror.bundle.report.plugin_report import add_facts, read_report, report_differences
from mirror.oci import Digest
from mirror.oci.errors import MirrorError
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, added_privileges, describe_privilege
from mirror.registry.port import Reader

_MOST_SHOWN: Final = 5


async def review_content(source: ImportSource, plan: ImportPlan, held: Reader) -> dict[str, tuple[str, ...]]:
    """Make the report of a bundle again and compare. A person may have decided by what the report of the sender says.

    Args:
        source: the bundle.
        plan: plan of the import.
        held: registry of the receiver.

    Returns:
        The privileges that a moved tag requests more (``+ …``) or no longer (``- …``), by its name at the receiver.

    Raises:
        BundleInvalid: the report says something else than the content.
        MirrorError: the content cannot be read.
    """
    reported = read_report(source.bundle.head.report)
    found: dict[Digest, ContentFacts] = {}
    coming = [name for name in plan.names if name.copies]
    for name in coming:
        await add_facts(found, source, name.local.named.repository, name.local.digest)
    if differences := report_differences(reported, found):
        shown = "; ".join(differences[:_MOST_SHOWN])
        raise BundleInvalid(
            f"the report of {source.bundle.source.name} is wrong: {shown}; nothing was changed; "
            "fix: ask the sender to make the bundle anew"
        )
    changes: dict[str, tuple[str, ...]] = {}
    for name in coming:
        if name.before is not None:
            former: dict[Digest, ContentFacts] = {}
            try:
                await add_facts(former, held, name.local.repository, name.before)
            except MirrorError as error:
                changes[str(name.local)] = (f"the privileges could not be compared: {error}",)
                continue
            changes[str(name.local)] = _lines(former, found, name.before, name.local.digest)
    return changes


def _lines(
    former: Mapping[Digest, ContentFacts], found: Mapping[Digest, ContentFacts], before: Digest, after: Digest
) -> tuple[str, ...]:
    earlier = KnownFacts(former, {}).privileges(before) or ()
    later: tuple[RequestedPrivilege, ...] = KnownFacts(found, {}).privileges(after) or ()
    more = (f"+ {describe_privilege(one)}" for one in added_privileges(later, earlier))
    less = (f"- {describe_privilege(one)}" for one in added_privileges(earlier, later))
    return (*more, *less)
