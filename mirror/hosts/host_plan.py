"""Plan of the changes that give a host the plugins that it should have. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mirror.hosts.checks.wanted_plugin import with_settings
from mirror.hosts.desired_plugin import DesiredPlugin, PluginRelease
from mirror.hosts.engine_api import InstalledPlugin
from mirror.hosts.plugin_steps import PluginStep, PluginTarget, StepKind, steps_between
from mirror.hosts.plugin_values import effective_values, kept_by_upgrade, resolve_settings
from mirror.oci import Digest
from mirror.oci.errors import Denied, MirrorError, Unsupported
from mirror.oci.printable_text import printable
from mirror.plugin.config.own_name import own_names
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import Privilege, compute_privileges
from mirror.plugin.config.risks import privileges_with_risks
from mirror.plugin.config.settable import list_settings
from mirror.plugin.policy.engine_vulnerabilities import CRASH_BY_DIGEST, Exposure


@dataclass(frozen=True, slots=True)
class PlannedPlugin:
    """Changes to one plugin of a host.

    Attributes:
        target: state that the plugin should have.
        now: the plugin as the host has it; None if the host does not have it.
        steps: changes, in order; empty if nothing is to do or ``problem`` forbids them.
        way_back: the installed version at a registry, for the way back from an upgrade; None if no registry has it.
        problem: reason why the plugin cannot be changed; None if there is none.
        notes: sentences about the outcome.
    """

    target: PluginTarget
    now: InstalledPlugin | None
    steps: tuple[PluginStep, ...] = ()
    way_back: PluginRelease | None = None
    problem: MirrorError | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Local name of the plugin."""
        return self.target.name

    @property
    def pulls(self) -> bool:
        """True if the engine pulls a version."""
        return _pulls(self.steps)

    @property
    def privileges(self) -> tuple[tuple[Privilege, str], ...]:
        """Privileges that the engine asks for, each with its risk; empty if no version is pulled."""
        config = self.target.config
        return () if config is None or not self.pulls else tuple(privileges_with_risks(config))

    def is_new(self, privilege: Privilege) -> bool:
        """Return True if the installed version does not have a privilege; False if no version is installed."""
        return self.now is not None and privilege.comparable not in _comparable(self.now.config)

    @property
    def reached_by_settings(self) -> tuple[tuple[Privilege, str], ...]:
        """Access to the host that the settings give beyond what the engine asks for, each with its risk."""
        config = self.target.config
        if config is None or not any(step.kind is StepKind.SET for step in self.steps):
            return ()
        asked = set[tuple[str, tuple[str, ...]]]()
        if self.pulls:
            asked = _comparable(config)
        elif self.now is not None:
            asked = _comparable(with_settings(self.now.config, effective_values(self.now)))
        given = privileges_with_risks(with_settings(config, self.target.values))
        return tuple(pair for pair in given if pair[0].comparable not in asked)

    @property
    def to_grant(self) -> Digest | None:
        """Digest of the version whose privileges must be granted; None if no privileges are asked for."""
        release = self.target.release
        return release.digest if release is not None and self.privileges else None


@dataclass(frozen=True, slots=True)
class HostPlan:
    """Changes that give a host the plugins that it should have.

    Attributes:
        engine: version of the engine.
        plugins: the plugins of the file, in its order.
        others: names of plugins that the host has and the file does not name. They are left alone.
    """

    engine: str
    plugins: tuple[PlannedPlugin, ...]
    others: tuple[str, ...]

    @property
    def changes(self) -> tuple[PlannedPlugin, ...]:
        """Plugins that are to be changed."""
        return tuple(plugin for plugin in self.plugins if plugin.steps)

    @property
    def problems(self) -> tuple[PlannedPlugin, ...]:
        """Plugins that cannot be changed."""
        return tuple(plugin for plugin in self.plugins if plugin.problem is not None)

    def ungranted(self, granted: Sequence[Digest]) -> tuple[PlannedPlugin, ...]:
        """Return the plugins whose privileges are not granted yet."""
        return tuple(one for one in self.changes if one.to_grant is not None and one.to_grant not in granted)


def _comparable(config: PluginConfig) -> set[tuple[str, tuple[str, ...]]]:
    return {privilege.comparable for privilege in compute_privileges(config)}


def plan_removal(desired: DesiredPlugin, now: InstalledPlugin | None) -> PlannedPlugin:
    """Return the changes for a plugin that a host should not have."""
    target = PluginTarget(desired.name, None)
    return PlannedPlugin(target, now, steps_between(now, target))


def plan_plugin(
    desired: DesiredPlugin,
    now: InstalledPlugin | None,
    release: PluginRelease,
    way_back: PluginRelease | None,
    *,
    engine: str,
    without_rollback: bool = False,
) -> PlannedPlugin:
    """Return the changes for a plugin that a host should have.

    Args:
        desired: the plugin.
        now: the plugin of this name that the host has; None if it has none.
        release: the version that the reference names.
        way_back: the installed version at a registry; None if no registry has it.
        engine: version of the engine.
        without_rollback: True to upgrade a plugin although no registry has the installed version.

    Raises:
        ConfigurationFault: the plugin does not have a setting of the file.
    """
    values = resolve_settings(release.config, desired.settings, desired.place)
    target = PluginTarget(desired.name, release.config, release, values, desired.enabled, desired.replace)
    steps, pinned = steps_between(now, target), desired.reference.digest
    if pinned is not None and release.digest != pinned:
        said = f"{desired.place}: {release.remote} points to {release.digest} now, and the file has {pinned}"
        return PlannedPlugin(target, now, problem=Denied(f"{said}; fix: write the new digest, or move the tag back"))
    if not steps:
        return PlannedPlugin(target, now, notes=tuple(_notes(now, target, steps)))
    problem = next(_problems(desired, release.config, target.values, steps, engine), None)
    # "install" occurs with an installed plugin only if the old version is replaced.
    if problem is None and now is not None and way_back is None and not without_rollback and _pulls(steps):
        problem = Unsupported(
            f"{desired.place}: the installed version was not found at {now.reference or 'a registry'} or under another "
            "tag, so that a failed upgrade could not be rolled back; fix: keep each version under a tag of its own, or "
            "allow the upgrade with --without-rollback"
        )
    notes = tuple(_notes(now, target, steps))
    return PlannedPlugin(target, now, () if problem else steps, way_back, problem, notes)


def _problems(
    desired: DesiredPlugin,
    released: PluginConfig,
    values: Mapping[str, str],
    steps: Sequence[PluginStep],
    engine: str,
) -> Iterator[MirrorError]:
    """Yield the reasons why steps cannot be carried out."""
    if _pulls(steps) and desired.reference.tag is None and CRASH_BY_DIGEST.exposure(engine) is Exposure.AFFECTED:
        yield Unsupported(
            f"{desired.place}: engine {engine} crashes at an install by digest; fix: write NAME:TAG@DIGEST: then the "
            "engine pulls the tag, and the digest is compared"
        )
    config = with_settings(released, values)
    unset = [f"mount {mount.name or mount.destination}" for mount in config.mounts if mount.source is None]
    unset += [f"device {device.name}" for device in config.devices if not device.path]
    if unset and desired.enabled:
        yield Unsupported(
            f"{desired.place}: {printable(unset[0], 80)} has no value, and the plugin cannot run without one"
        )
    if any(step.kind is StepKind.UPGRADE for step in steps):
        devices = {setting.key for setting in list_settings(released) if setting.kind == "device"}
        stale = [key for step in steps for key in step.settings if key in devices]
        if stale:
            yield Unsupported(
                f"{desired.place}: engines keep the device of {stale[0]} at an upgrade, whatever is set later; fix: "
                "add 'replace: true', which removes the old version with its data first"
            )


def _pulls(steps: Sequence[PluginStep]) -> bool:
    return any(step.kind in {StepKind.INSTALL, StepKind.UPGRADE} for step in steps)


def _notes(now: InstalledPlugin | None, target: PluginTarget, steps: Sequence[PluginStep]) -> Iterator[str]:
    """Yield sentences about what the steps do not do."""
    if target.config is None:
        return
    for own in own_names(with_settings(target.config, target.values)):
        if own.key is not None and not own.agrees(target.name):
            yield (
                f"{own.variable} is {own.default or 'empty'}, so the driver does not know its name {target.name}; fix: "
                f"add the setting {own.key}: {target.name}"
            )
    if now is None:
        return
    kinds = {step.kind for step in steps}
    if StepKind.UPGRADE in kinds:
        for what in kept_by_upgrade(now, target.config):
            yield f"after the upgrade, {what}; fix: add 'replace: true'"
    elif StepKind.INSTALL not in kinds:
        for what in kept_by_upgrade(now, target.config):
            yield f"since an upgrade, {what}; fix: remove and install the plugin"
        for key in sorted(effective_values(now).keys() - target.values.keys()):
            yield f"{key} stays set, because engines cannot unset a variable; fix: remove and install the plugin"
    if StepKind.REMOVE in kinds:
        yield "the old version is removed first, with the data in its folder"
