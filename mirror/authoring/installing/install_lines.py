"""The commands with which a Docker host installs content."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from mirror.authoring.inspect import Inspection
from mirror.authoring.installing.install_plan import InstallPlan, plan_install
from mirror.authoring.installing.short_alias import driver_name, driver_uses
from mirror.plugin.config.own_name import as_local_name
from mirror.plugin.policy.engine_vulnerabilities import CRASH_BY_DIGEST

CRASHES_ON_DIGEST: Final = f"engines {CRASH_BY_DIGEST.affected_in_words} crash on a digest; fix: use a tag"


@dataclass(frozen=True, slots=True)
class InstallLine:
    """One way to install content.

    Attributes:
        kind: ``name``, ``alias`` (a short one) or ``digest`` (pinned to the content).
        words: the words of the command. A shell must quote them.
        driver: name by which commands of the engine find the plugin. Empty for an image.
        uses: commands that use the plugin by this name.
        note: sentence for the user. Empty if there is none.
    """

    kind: str
    words: tuple[str, ...]
    driver: str = ""
    uses: tuple[str, ...] = ()
    note: str = ""

    @property
    def command(self) -> str:
        """The command for a POSIX shell, on one line."""
        return shlex.join(self.words)


def install_lines(found: Inspection, host: str) -> tuple[InstallLine, ...]:
    """Return the commands that install content on a Docker host.

    Settings without which the plugin cannot be enabled are in a command as ``KEY=VALUE``, to be filled in. A plugin
    that must know its own name gets an alias and a setting of the same value, or only an alias that is its default.

    Args:
        found: the content.
        host: ``HOST[:PORT]`` of the registry, as the Docker host reaches it.

    Returns:
        The commands, the plainest first. Empty for an artifact, which no engine command accepts.
    """
    plan = plan_install(found, host)
    if found.plugin is None:
        return (InstallLine("name", ("docker", "pull", plan.reference)),) if found.kind in {"image", "index"} else ()
    lines = [_line(plan, "name", plan.reference, plan.alias)]
    if plan.alias is None:
        lines.append(_line(plan, "alias", plan.reference, plan.short))
    if plan.pinned is not None:
        lines.append(_line(plan, "digest", plan.pinned, plan.alias))
    return tuple(lines)


def _line(plan: InstallPlan, kind: str, reference: str, alias: str | None) -> InstallLine:
    settings = [*plan.settings, *(f"{key}=VALUE" for key in plan.open_keys)]
    # A key that begins with "-" would be read as an option.
    ends_options = ["--"] if any(setting.startswith("-") for setting in settings) else []
    aliased = [] if alias is None else ["--alias", alias]
    types = () if plan.config is None else plan.config.interface.types
    name = plan.name if alias is None else as_local_name(alias) or alias
    driver = driver_name(types, name)
    words = ("docker", "plugin", "install", *aliased, *ends_options, reference, *settings)
    note = CRASHES_ON_DIGEST if "@" in reference else ""
    return InstallLine(kind, words, driver, driver_uses(types, driver), note)
