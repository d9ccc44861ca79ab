"""Output of an upgrade plan: text for people, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirror.app.plugin_inspection import advertised_host
from mirror.authoring.files.layout_reference import LayoutReference
from mirror.cli.printing import RESULTS, heading, wrapped
from mirror.hosts.desired_plugin import name_on_host
from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault
from mirror.oci.printable_text import printable

if TYPE_CHECKING:
    from mirror.plugin.policy.upgrade_plan import NotApplied, UpgradePlan
    from mirror.settings import Settings

Source = Reference | LayoutReference | Path


def names_of(
    settings: Settings, sources: tuple[Source, Source], alias: Reference | None
) -> tuple[str, tuple[str, str]]:
    """Return the name of a plugin on its host, and the old and the new version as the host pulls them.

    Args:
        settings: settings of the server, whose address is part of a name without a host.
        sources: the earlier and the later plugin.
        alias: name of the plugin on its host; None if it was installed without an alias.

    Raises:
        ConfigurationFault: no host can pull the later plugin, or the name on the host is not known.
    """
    earlier, later = sources
    if not isinstance(later, Reference):
        raise ConfigurationFault(
            f"{later}: an engine upgrades only from a registry; fix: give the later plugin as [HOST/]NAME:TAG"
        )
    first = _pulled(settings, earlier) if isinstance(earlier, Reference) else None
    name = alias or first
    if name is None:
        raise ConfigurationFault(f"{earlier}: the name of the plugin on its host is not known; fix: give --alias NAME")
    return name_on_host(name), (str(first or ""), str(_pulled(settings, later)))


def _pulled(settings: Settings, reference: Reference) -> Reference:
    """Return a reference as a Docker host writes it."""
    return reference if reference.host else replace(reference, host=advertised_host(settings))


def upgrade_as_json(plan: UpgradePlan) -> dict[str, Any]:
    """Return a plan as plain values."""
    return asdict(plan)


def print_upgrade(plan: UpgradePlan) -> None:
    """Print a plan."""
    heading("Upgrade")
    _print_commands(plan.commands)
    if plan.settings:
        RESULTS.out("  To keep a value that this host has set, omit its KEY=VALUE.", highlight=False)
    if plan.reset:
        heading("Sources of mounts that this host has set are lost; set them again before 'enable'")
        _print_commands(plan.reset)
    if plan.not_applied:
        heading("Not applied by an upgrade")
        for change in plan.not_applied:
            RESULTS.out(wrapped(RESULTS, f"  {printable(_sentence(change))}", 4), highlight=False)
        heading("To apply everything, install the plugin anew; all settings of this host are lost")
        _print_commands(plan.reinstall)


def _print_commands(commands: Iterable[str]) -> None:
    for command in commands:
        # A replaced character would make another command.
        shown = command if command.isprintable() else "(unprintable characters; --json has this line)"
        RESULTS.out(f"  {shown}", highlight=False)


def _sentence(change: NotApplied) -> str:
    if change.stays is None:
        return f"{change.what} is not added (new: {change.wanted!r}): {change.why}"
    if change.wanted is None:
        return f"{change.what} is not removed (old: {change.stays!r}): {change.why}"
    return f"{change.what} stays {change.stays!r}, and does not become {change.wanted!r}: {change.why}"
