"""Output of ``inspect``: text for people, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mirror.authoring.signatures import SignatureSummary
from mirror.cli.install_output import lines_as_json, print_lines
from mirror.cli.plugin_output import facts_of, print_findings, print_view, view_as_json
from mirror.cli.printing import RESULTS, heading, print_facts, print_json, size, wrapped
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time, time_ago
from mirror.plugin.config.secret_values import masked_values
from mirror.runtime.clock import SystemClock

if TYPE_CHECKING:
    from mirror.authoring.files.layout_reference import LayoutReference
    from mirror.authoring.inspect import Inspection
    from mirror.authoring.installing.install_lines import InstallLine
    from mirror.oci import Reference
    from mirror.plugin.lint.plugin_view import PluginView
    from mirror.records.derivations import Derivation
    from mirror.signing.signature_verification import VerifiedContent

#: Most signatures and other referrers shown one by one. More are summarised.
_MOST_SIGNATURES: Final = 8
_MOST_NEWEST: Final = 3
_LONGEST_KIND: Final = 100


def print_folder(path: Path, found: PluginView, *, json: bool) -> None:
    """Print the plugin in a folder."""
    if json:
        print_json({"kind": "folder", "path": str(path), **view_as_json(found), **_findings_as_json(found)})
        return
    print_facts(str(path), [("Kind", "folder for docker plugin create"), *facts_of(found)])
    _print_plugin(found)


def print_inspection(
    found: Inspection, reference: Reference | LayoutReference, lines: Sequence[InstallLine], *, json: bool
) -> None:
    """Print the content of a reference, and the commands that install it."""
    if json:
        print_json(_as_json(found) | lines_as_json(lines))
    else:
        _print(found, reference)
        print_lines(lines)


def _as_json(found: Inspection) -> dict[str, Any]:
    manifest = found.manifest
    value: dict[str, Any] = {
        "kind": found.kind,
        "name": str(found.repository),
        "reference": str(found.target),
        "digest": str(manifest.digest),
        "media_type": manifest.media_type,
        "size_bytes": manifest.content_size_bytes,
        "blobs": [blob.to_json() for blob in manifest.blobs],
        **found.platforms.to_json(),
    }
    if found.origin is not None:
        origin = found.origin
        value["origin"] = {
            "how": origin.how,
            "upstream": origin.upstream,
            "repository": str(origin.repository),
            "at": machine_time(origin.at),
            **({} if origin.first_seen is None else {"first_seen": machine_time(origin.first_seen)}),
        }
    if found.derivation is not None:
        value["derivation"] = _derivation_as_json(found.derivation)
    if found.history:
        value["history"] = [event.to_json() for event in found.history]
    if found.admission is not None:
        value["admission"] = found.admission.to_json()
    if found.signatures is not None:
        value["signatures"] = [
            {
                "what": one.what,
                "digest": str(one.digest),
                "tag": one.tag and str(one.tag),
                "created": machine_time(one.created),
            }
            for one in found.signatures
        ]
    if found.verified is not None:
        value["verified"] = found.verified.to_json()
    if found.original is not None:
        value["original"] = found.original.to_json()
    if found.plugin is not None:
        value |= view_as_json(found.plugin)
    value["findings"] = [finding.to_json() for finding in found.findings]
    return value


def _findings_as_json(found: PluginView) -> dict[str, Any]:
    return {"findings": [finding.to_json() for finding in found.findings]}


def _print(found: Inspection, reference: Reference | LayoutReference) -> None:
    manifest, now = found.manifest, SystemClock().now()
    facts = [
        ("Kind", found.kind),
        ("Digest", str(manifest.digest)),
        ("Size", f"{size(manifest.content_size_bytes)} in {len(manifest.blobs)} blobs"),
    ]
    facts.append(("Platforms", ", ".join(found.platforms.here)))
    facts += [("Absent", each.sentence) for each in found.platforms.absent]
    if found.origin is not None:
        origin = found.origin
        seen = "" if origin.first_seen is None else f", first seen {time_ago(origin.first_seen, now)}"
        brought = f"{origin.how} from {origin.upstream}/{origin.repository}, {time_ago(origin.at, now)}"
        facts.append(("Origin", f"{brought}{seen}"))
    if found.derivation is not None:
        facts += _derivation(found.derivation, now)
    if found.admission is not None:
        facts.append(("Admission", found.admission.sentence))
    facts += _signatures(found, now)
    if found.verified is not None:
        facts.append(("Signed by", _signers(found.verified)))
    if found.original is not None:
        facts.append(("Original", f"signed by {_signers(found.original)}"))
    print_facts(str(reference), [*facts, *(facts_of(found.plugin) if found.plugin is not None else ())])
    if found.history:
        heading("History of the tag")
        for event in found.history:
            moved = f" from {event.before} to {event.after}" if event.before and event.after else ""
            told = f"  {time_ago(event.at, now)}: {event.change}{moved}, at {event.source}"
            RESULTS.out(wrapped(RESULTS, told, 6), highlight=False)
            for changed in event.difference:
                RESULTS.out(wrapped(RESULTS, f"      privilege {printable(changed)}", 8), highlight=False)
    if found.plugin is not None:
        _print_plugin(found.plugin)
    elif found.findings:
        heading("Findings")
        print_findings(found.findings)


def _derivation(made: Derivation, now: datetime) -> list[tuple[str, str]]:
    from mirror.plugin.build.derivation import masked_difference  # late: few plugins are derived

    made_of = f"{made.source}@{made.original} by {made.made_by}, {time_ago(made.made_at, now)}"
    return [("Derived from", made_of), *(("", f"changed: {masked_difference(line)}") for line in made.changed)]


def _derivation_as_json(made: Derivation) -> dict[str, Any]:
    from mirror.plugin.build.derivation import masked_difference

    return {
        "source": made.source,
        "original": str(made.original),
        "made_by": made.made_by,
        "made_at": machine_time(made.made_at),
        "changes": masked_values(made.changes),
        "changed": [masked_difference(line) for line in made.changed],
    }


def _print_plugin(found: PluginView) -> None:
    print_view(found)
    if found.findings:
        heading("Findings")
        print_findings(found.findings)


def _signers(verified: VerifiedContent) -> str:
    if verified.signers:
        return ", ".join(map(str, verified.signers))
    problems = [f"{each.what} {verified.problem(each)}" for each in verified.signatures[:_MOST_SIGNATURES]]
    return f"none of the keys of the admission rules{': ' if problems else ''}{'; '.join(problems)}"


def _signatures(found: Inspection, now: datetime) -> list[tuple[str, str]]:
    if found.signatures is None:
        return [("Signatures", "unknown: the registry does not list referrers")]
    if len(found.signatures) <= _MOST_SIGNATURES:
        return [
            ("Signatures", ", ".join(f"{one.what} ({one.tag or one.digest})" for one in found.signatures) or "none")
        ]
    summary = SignatureSummary.of(found.signatures, _MOST_NEWEST)
    kinds = [f"{count} {what[:_LONGEST_KIND]}" for what, count in summary.kinds[:_MOST_SIGNATURES]]
    more = len(summary.kinds) - len(kinds)
    others = [f"{more} more kinds"] if more > 0 else []
    return [
        ("Signatures", f"{summary.total} (--json lists all): {', '.join([*kinds, *others])}"),
        *(
            ("", f"{time_ago(one.created, now)}: {one.what[:_LONGEST_KIND]} ({one.tag or one.digest})")
            for one in summary.newest
        ),
    ]
