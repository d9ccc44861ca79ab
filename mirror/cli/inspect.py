"""``plugin-mirror inspect``: what a reference stands for."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mirror.cli.options import ConfigOption, DataOption, JsonOption, flags
from mirror.cli.printing import RESULTS, print_json, size
from mirror.cli.running import run_to_the_end
from mirror.oci.names import Reference
from mirror.registry.derivations import Derivation
from mirror.settings import load
from mirror.workshop.inspect import Inspection
from mirror.workshop.install_line import install_line


def run(
    reference: Annotated[str, typer.Argument(metavar="REF", help="[HOST[:PORT]/]NAME[:TAG][@DIGEST]")],
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Speak http to HOST; loopback hosts need no such word.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what a plugin is: privileges, settings, size, and how a Docker host installs it."""
    from mirror.app.inspecting import advertised_host, inspect_reference

    parsed = Reference.parse(reference)
    settings = load(config, flags(storage__path=data))
    found = run_to_the_end(inspect_reference(settings, parsed, plain_http=plain_http))
    line = install_line(found, host=parsed.host or advertised_host(settings))
    if json:
        print_json(_as_json(found, line))
    else:
        _print(found, parsed, line)


def _as_json(found: Inspection, line: str | None) -> dict[str, Any]:
    manifest = found.manifest
    value: dict[str, Any] = {
        "kind": found.kind,
        "name": str(found.repository),
        "reference": str(found.target),
        "digest": str(manifest.digest),
        "media_type": manifest.media_type,
        "size_bytes": manifest.content_size_bytes,
        "blobs": [blob.to_json() for blob in manifest.blobs],
    }
    if found.origin is not None:
        origin = found.origin
        value["origin"] = {
            "how": origin.how,
            "upstream": origin.upstream,
            "repository": str(origin.repository),
            "at": origin.at.isoformat(),
        }
    if found.derivation is not None:
        value["derivation"] = _derivation_as_json(found.derivation)
    if found.plugin is not None:
        plugin = found.plugin
        value |= {
            "description": plugin.description,
            "documentation": plugin.documentation,
            "interface": {"types": list(plugin.interface.types), "socket": plugin.interface.socket},
            "entrypoint": list(plugin.entrypoint),
            "privileges": [
                {"name": item.name, "description": item.description, "values": list(item.values)}
                for item in found.privileges
            ],
            "settings": [
                {"kind": item.kind, "key": item.key, "default": item.default, "description": item.description}
                for item in found.settings
            ],
        }
    value["findings"] = [finding.to_json() for finding in found.findings]
    if line is not None:
        value["install"] = line
    return value


def _print(found: Inspection, reference: Reference, line: str | None) -> None:
    manifest = found.manifest
    facts: list[tuple[str, str]] = [
        ("Kind", found.kind),
        ("Digest", str(manifest.digest)),
        ("Size", f"{size(manifest.content_size_bytes)} in {len(manifest.blobs)} blobs"),
    ]
    if found.origin is not None:
        origin = found.origin
        facts.append(
            ("Origin", f"{origin.how} from {origin.upstream}/{origin.repository}, {origin.at:%Y-%m-%d %H:%M} UTC")
        )
    if found.derivation is not None:
        facts += _derivation(found.derivation)
    plugin = found.plugin
    if plugin is not None:
        facts += [
            ("Description", plugin.description),
            ("Documentation", plugin.documentation),
            ("Interface", ", ".join(plugin.interface.types)),
            ("Socket", plugin.interface.socket),
            ("Entrypoint", shlex.join(plugin.entrypoint)),
        ]
    RESULTS.out(str(reference), style="bold", highlight=False)
    for label, text in facts:
        if text:
            RESULTS.out(f"  {label + ':' if label else '':<15}{text}", highlight=False)
    if plugin is not None:
        _print_privileges(found)
        _print_settings(found)
    _print_findings(found)
    if line is not None:
        RESULTS.out("\nInstall with", style="bold", highlight=False)
        RESULTS.out(f"  {line}", highlight=False)


def _derivation(made: Derivation) -> list[tuple[str, str]]:
    made_of = f"{made.source}@{made.original} by {made.made_by}, {made.made_at:%Y-%m-%d %H:%M} UTC"
    return [("Derived from", made_of), *(("", f"changed: {line}") for line in made.changed)]


def _derivation_as_json(made: Derivation) -> dict[str, Any]:
    return {
        "source": made.source,
        "original": str(made.original),
        "made_by": made.made_by,
        "made_at": made.made_at.isoformat(),
        "changes": dict(made.changes),
        "changed": list(made.changed),
    }


def _print_privileges(found: Inspection) -> None:
    RESULTS.out("\nPrivileges the engine will ask for", style="bold", highlight=False)
    for privilege in found.privileges:
        RESULTS.out(f"  - {privilege}", highlight=False)
    if not found.privileges:
        RESULTS.out("  none", highlight=False)


def _print_findings(found: Inspection) -> None:
    if not found.findings:
        return
    RESULTS.out("\nFindings", style="bold", highlight=False)
    for finding in found.findings:
        RESULTS.out(f"  {finding.severity.value}: {finding.text}", highlight=False)
        RESULTS.out(f"    engines {finding.engines}: {finding.seen}", highlight=False)
        RESULTS.out(f"    to mend it: {finding.mend}", highlight=False)


def _print_settings(found: Inspection) -> None:
    if not found.settings:
        return
    RESULTS.out("\nSettings (KEY=VALUE at install, or docker plugin set)", style="bold", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2), expand=False)
    for column in ("key", "default", "description"):
        table.add_column(column, overflow="fold")
    for setting in found.settings:
        default = "(must be set)" if setting.must_be_set else repr(setting.default)
        table.add_row(Text(setting.key), Text(default), Text(setting.description))
    RESULTS.print(table)
