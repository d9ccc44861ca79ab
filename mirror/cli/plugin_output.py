"""Output about one plugin: text for people, and plain values for JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mirror.cli.printing import RESULTS, heading, print_judged, wrapped
from mirror.oci.printable_text import printable
from mirror.plugin.config.secret_values import without_secrets
from mirror.plugin.config.settable import list_settings
from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE

if TYPE_CHECKING:
    from mirror.plugin.lint.plugin_view import PluginView

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.HINT: "dim"}
_SETTING = ("kind", "key", "default", "must_be_set", "description")


def view_as_json(view: PluginView) -> dict[str, Any]:
    """Return a plugin view as plain values, without its findings.

    Returns:
        An empty mapping if the config of the plugin cannot be read.
    """
    if view.config is None:
        return {}
    config = without_secrets(view.config)
    return {
        "platform": view.platform and str(view.platform),
        "platform_by": view.platform_by or None,
        "description": config.description,
        "documentation": config.documentation,
        "interface": {"types": list(config.interface.types), "socket": config.interface.socket},
        "entrypoint": list(config.entrypoint),
        "privileges": [
            {"name": item.name, "description": item.description, "values": list(item.values), "risk": risk}
            for item, risk in view.privileges
        ],
        "never_compared": _never_compared_as_json(view),
        "settings": [{name: getattr(item, name) for name in _SETTING} for item in list_settings(config)],
        "engines": [
            {
                "first": verdict.first,
                "last": verdict.last,
                "works": verdict.works,
                "findings": [finding.code for finding in verdict.reasons],
            }
            for verdict in view.engines
        ],
    }


def _never_compared_as_json(view: PluginView) -> dict[str, Any] | None:
    found = view.never_compared
    if found is None:
        return None
    return {
        "cve": UNCOMPARED_PRIVILEGE.identifier,
        "engines": UNCOMPARED_PRIVILEGE.affected_in_words,
        "name": found.name,
        "values": list(found.values),
    }


def facts_of(view: PluginView) -> list[tuple[str, str]]:
    """Return label and text of each fact that fits on one line.

    Returns:
        An empty list if the config of the plugin cannot be read.
    """
    if view.config is None:
        return []
    config = without_secrets(view.config)
    platform = "unknown" if view.platform is None else f"{view.platform} (from {view.platform_by})"
    return [
        ("Platform", platform),
        ("Description", config.description),
        ("Documentation", config.documentation),
        ("Interface", ", ".join(config.interface.types)),
        ("Socket", config.interface.socket),
        ("Entrypoint", shlex.join(config.entrypoint)),
    ]


def print_view(view: PluginView) -> None:
    """Print privileges, settings and engines of a plugin. Print nothing if its config cannot be read."""
    if view.config is None:
        return
    heading("Privileges that the engine asks for")
    for privilege, risk in view.privileges:
        RESULTS.out(wrapped(RESULTS, f"  - {printable(str(privilege))}", 6), highlight=False)
        RESULTS.out(wrapped(RESULTS, f"      {printable(risk)}", 6), style="dim", highlight=False)
    if not view.privileges:
        RESULTS.out("  none", highlight=False)
    if view.never_compared is not None:
        flaw = UNCOMPARED_PRIVILEGE
        line = (
            f"  engines {flaw.affected_in_words} install the plugin without checking that "
            f"{printable(str(view.never_compared))} was granted ({flaw.identifier}); fix: {flaw.remedy}"
        )
        RESULTS.out(wrapped(RESULTS, line, 4), highlight=False)
    _print_settings(view)
    heading("Engines")
    for verdict in view.engines:
        RESULTS.out(
            f"  {verdict.engines + ':':<16}{'no known problem' if verdict.works else 'does not work'}", highlight=False
        )
        for reason in verdict.reasons:
            RESULTS.out(wrapped(RESULTS, f"      {printable(reason.text)}", 8), highlight=False)


def print_findings(findings: Iterable[Finding]) -> None:
    """Print each finding: the fault, the engines that show it and how, and the fix."""
    for finding in findings:
        severity = finding.severity.value
        print_judged(severity, _STYLES[finding.severity], wrapped(RESULTS, f"  {severity}: {finding.text}", 4))
        RESULTS.out(wrapped(RESULTS, f"    engines {finding.engines}: {finding.seen}", 6), highlight=False)
        RESULTS.out(wrapped(RESULTS, f"    fix: {finding.fix}", 6), highlight=False)


def _print_settings(view: PluginView) -> None:
    if view.config is None or not view.settings:
        return
    heading("Settings (KEY=VALUE at install, or docker plugin set)")
    rows = []
    for setting, public in zip(view.settings, list_settings(without_secrets(view.config)), strict=True):
        # Quoted as in a shell, because KEY=VALUE is pasted into 'docker plugin install' and 'docker plugin set'.
        is_secret = public != setting
        value = "VALUE" if setting.default is None or is_secret else shlex.quote(setting.default)
        note = "  (must be set)" if setting.must_be_set else ""
        note = "  (default hidden: it looks like a secret)" if is_secret else note
        shown = f"{shlex.quote(setting.key)}={value}{note}"
        rows.append((printable(shown), printable(setting.description)))
    # A key with its value stays in one piece, so that it can be copied. Only descriptions are wrapped, and they go
    # below if there is little room beside the longest value.
    beside = 4 + max(len(shown) for shown, _ in rows)
    for shown, description in rows:
        if not RESULTS.is_terminal or beside <= RESULTS.width * 2 // 3:
            told = wrapped(RESULTS, f"{'':<{beside}}{description}", beside)[beside:]
            RESULTS.out(f"  {shown:<{beside - 2}}{told}".rstrip(), highlight=False)
            continue
        RESULTS.out(f"  {shown}", highlight=False)
        if description:
            RESULTS.out(wrapped(RESULTS, f"      {description}", 6), highlight=False)
