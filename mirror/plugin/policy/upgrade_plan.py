"""Plan of ``docker plugin upgrade`` from one version of a plugin to another.

Engines from 17.03 to 29 keep the variables, arguments and devices of the first install, and take everything else from
the new version (moby: upgradePlugin of plugin/manager_linux.go and InitSpec of plugin/v2, measured with 20.10.24 and
26.1.5):

- Variables and arguments of the old version stay. ``docker plugin set`` changes those that the new config lists as
  settable.
- Devices of the old version stay, and ``docker plugin set`` does not change them.
- Mounts have the sources in the new config. A source that was set on the host is lost.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import masked, without_secrets
from mirror.plugin.config.settable import Setting, list_settings, settings_by_item


@dataclass(frozen=True, slots=True)
class NotApplied:
    """A change of the config that an upgrade does not apply.

    Attributes:
        what: kind and name, such as ``env LEVEL``.
        stays: value of the old version, which stays in use; None if the plugin goes without a value.
        wanted: value of the new version; None if the new version has none.
        why: reason, as part of a sentence.
    """

    what: str
    stays: str | None
    wanted: str | None
    why: str


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """Commands that upgrade a plugin on a host, and the changes that they do not apply.

    Attributes:
        name: name of the plugin on the host.
        reference: the new version, as the host pulls it.
        commands: commands for a shell, in their order.
        settings: the ``KEY=VALUE`` in the commands.
        reset: ``KEY=VALUE`` of mounts whose source goes back to the default, although the host may have set another.
        not_applied: changes that the commands do not apply.
        reinstall: commands that apply all changes, and lose all settings of the host; empty if an upgrade suffices.
    """

    name: str
    reference: str
    commands: tuple[str, ...]
    settings: tuple[str, ...]
    reset: tuple[str, ...]
    not_applied: tuple[NotApplied, ...]
    reinstall: tuple[str, ...]


def plan_upgrade(
    earlier: PluginConfig,
    later: PluginConfig,
    name: str,
    references: tuple[str, str],
    takes_own_name: Callable[[Setting], bool],
) -> UpgradePlan:
    """Return the plan of an upgrade on a host without settings of its own.

    Args:
        earlier: config of the old version.
        later: config of the new version.
        name: name of the plugin on the host, which an upgrade does not change.
        references: the old and the new version, as the host pulls them.
        takes_own_name: returns True for a setting that must have the name of the plugin on the host.
    """
    settings = settings_by_item(later)
    values: list[str] = []
    not_applied: list[NotApplied] = []
    for item, wanted, left in _kept(earlier, later):
        setting = settings.get(item)
        if setting is None or wanted is None:
            not_applied.append(left)
        else:
            # A command line is visible to others, so a secret in the new default is left to be filled in.
            public = wanted if masked(setting.name, wanted) == wanted else "VALUE"
            values.append(f"{setting.key}={name if takes_own_name(setting) else public}")
    not_applied += _devices(earlier, later)
    return UpgradePlan(
        name=name,
        reference=references[1],
        commands=tuple(_commands(name, references, values)),
        settings=tuple(values),
        reset=tuple(_reset(earlier, settings)),
        not_applied=tuple(not_applied),
        reinstall=tuple(_reinstall(name, references[1], list_settings(later), takes_own_name)) if not_applied else (),
    )


def _kept(earlier: PluginConfig, later: PluginConfig) -> Iterator[tuple[tuple[str, str], str | None, NotApplied]]:
    """Yield each variable, and the arguments, whose value differs but stays that of the old version.

    Yields:
        Kind and name, the new value as ``docker plugin set`` takes it (None if it cannot), and the change that is not
        applied without such a setting.
    """
    before = {env.name: env.value for env in earlier.env if env.value is not None}
    after = {env.name: env.value for env in later.env if env.value is not None}
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old != new:
            why = "no command unsets a variable" if new is None else "the new version does not let a host set it"
            stays, wanted = (value and masked(name, value) for value in (old, new))
            yield ("env", name), new, NotApplied(f"env {name}", stays, wanted, why)
    if earlier.args.value != later.args.value:
        new = " ".join(later.args.value)
        stays, wanted = (" ".join(without_secrets(config).args.value) for config in (earlier, later))
        # An engine splits the text at each space.
        can_be_set = tuple(new.split(" ")) == later.args.value
        why = "the new version does not let a host set them" if can_be_set else "an engine splits them at spaces"
        yield ("args", later.args.name), new if can_be_set else None, NotApplied("args", stays, wanted, why)


def _devices(earlier: PluginConfig, later: PluginConfig) -> Iterator[NotApplied]:
    """Yield the differences of devices. Those without a name are compared by their path."""
    before = {device.name or device.path or "": device.path for device in earlier.devices}
    after = {device.name or device.path or "": device.path for device in later.devices}
    for name in dict.fromkeys((*before, *after)):
        if name not in before or name not in after or before[name] != after[name]:
            why = "an upgrade keeps the devices of the old version"
            yield NotApplied(f"device {name}", before.get(name), after.get(name), why)


def _reset(earlier: PluginConfig, settings: Mapping[tuple[str, str], Setting]) -> Iterator[str]:
    """Yield the mounts that a host may have set in the old version and can set in the new version."""
    before = settings_by_item(earlier)
    for item, setting in settings.items():
        if item[0] == "mount" and item in before:
            yield f"{setting.key}={setting.default or ''}"


def _commands(name: str, references: tuple[str, str], values: list[str]) -> Iterator[str]:
    """Yield the commands of an upgrade."""
    yield shlex.join(["docker", "plugin", "disable", "-f", name])
    # The client asks again for another reference, and another tag is another reference.
    other = ["--skip-remote-check"] if references[0] != references[1] else []
    yield shlex.join(["docker", "plugin", "upgrade", *other, name, references[1]])
    if values:
        yield shlex.join(["docker", "plugin", "set", name, *values])
    yield shlex.join(["docker", "plugin", "enable", name])


def _reinstall(
    name: str, reference: str, settings: tuple[Setting, ...], takes_own_name: Callable[[Setting], bool]
) -> Iterator[str]:
    """Yield the commands that remove a plugin and install the new version under the same name."""
    values = [f"{setting.key}={name}" for setting in settings if takes_own_name(setting)]
    values += [f"{setting.key}=VALUE" for setting in settings if setting.must_be_set]
    alias = ["--alias", name] if name != reference else []
    yield shlex.join(["docker", "plugin", "disable", "-f", name])
    yield shlex.join(["docker", "plugin", "rm", name])
    yield shlex.join(["docker", "plugin", "install", *alias, reference, *values])
