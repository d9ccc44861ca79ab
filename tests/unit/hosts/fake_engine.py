"""An engine without programs that treats plugins as real engines do (measured: 20.10.24, 26.1.5), and can fail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mirror.hosts.desired_plugin import DesiredPlugin, PluginRelease
from mirror.hosts.engine_answers import read_info
from mirror.hosts.engine_api import (
    EngineInfo,
    EngineVersion,
    InstalledPlugin,
    PluginSettings,
    PullProgress,
    PullStep,
    RegistryLogin,
)
from mirror.hosts.engine_errors import EngineRefused, EngineUnreachable
from mirror.hosts.host_plan import HostPlan, plan_plugin, plan_removal
from mirror.hosts.plugin_values import same_content
from mirror.oci import Digest
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import Privilege
from mirror.plugin.config.settable import list_settings

#: Entrypoint of a plugin that does not start.
MISSING = "/nope"
#: Faults of a call: refused without an effect; done, and the connection lost; not reached from now on.
REFUSED, LOST, GONE = "refused", "lost", "gone"


def release(tag: str, **members: Any) -> PluginRelease:
    """Return a version of a plugin with its own layer."""
    layer = {"type": "layers", "diff_ids": [str(Digest.of(tag.encode()))]}
    content = json.dumps({"Entrypoint": ["/run"], "rootfs": layer, **members}).encode()
    return PluginRelease(f"m:5000/p:{tag}", Digest.of(content), PluginConfig.parse(content))


def env(name: str, value: str | None, *, settable: bool = True) -> dict[str, Any]:
    return {"Name": name, "Value": value, "Settable": ["value"] if settable else None}


class FakeEngine:
    """An engine with a registry.

    Args:
        registry: versions by reference.
        faults: fault of each changing call in turn: None, :data:`REFUSED`, :data:`LOST` or :data:`GONE`.
    """

    def __init__(self, registry: Iterable[PluginRelease], faults: Iterable[str | None] = ()) -> None:
        self.registry = {one.remote: one for one in registry}
        self.calls: list[str] = []
        self.used: set[str] = set()
        self.slow_enables = 0
        self.engine_id = ""
        self._plugins: dict[str, InstalledPlugin] = {}
        # Config and settings share their devices until the engine reads them from its disk.
        self._shared: set[str] = set()
        self._faults: Iterator[str | None] = iter(faults)
        self._gone = False

    def found(self, name: str) -> InstalledPlugin | None:
        """Return the plugin as it is, also if the engine cannot be reached."""
        return self._plugins.get(name)

    def fail(self, *faults: str | None) -> None:
        """Set the faults of the next changing calls."""
        self._faults = iter(faults)

    def restart(self) -> None:
        self._shared.clear()

    def plan(self, *desired: DesiredPlugin, **options: Any) -> HostPlan:
        """Return the plan for plugins, as the command makes it."""
        planned = []
        for one in desired:
            now = self.found(one.name)
            if not one.present:
                planned.append(plan_removal(one, now))
                continue
            back = None if now is None else self.registry.get(now.reference)
            back = back if back is not None and now is not None and same_content(now.config, back.config) else None
            wanted = self.registry[str(one.reference)]
            planned.append(plan_plugin(one, now, wanted, back, engine="26.1.5", **options))
        return HostPlan("26.1.5", tuple(planned), ())

    async def version(self) -> EngineVersion:
        return EngineVersion("26.1.5", "1.45", "linux", "amd64", "6.1")

    async def info(self) -> EngineInfo:
        return read_info({"ID": self.engine_id})

    async def remote_digest(self, remote: str) -> Digest:
        return self.registry[remote].digest

    async def plugins(self) -> tuple[InstalledPlugin, ...]:
        self._reach()
        return tuple(self._plugins.values())

    async def privileges(self, remote: str, login: RegistryLogin | None = None) -> tuple[Privilege, ...]:
        self._reach()
        return self.registry[remote].privileges if remote in self.registry else ()

    async def pull(
        self,
        remote: str,
        name: str,
        privileges: Sequence[Privilege],
        *,
        login: RegistryLogin | None = None,
        progress: PullProgress | None = None,
    ) -> None:
        fault = self._begin("pull", name)
        if name in self._plugins:
            raise _refused(f"plugin {name} already exists", 400)
        config = self._pulled(remote, privileges, progress)
        settings = PluginSettings(
            tuple(f"{one.name}={one.value}" for one in config.env if one.value is not None),
            config.mounts,
            config.devices,
            config.args.value,
        )
        self._plugins[name] = InstalledPlugin(f"id of {name}", name, False, remote, config, settings)
        self._shared.add(name)
        self._end(fault)

    async def upgrade(
        self,
        name: str,
        remote: str,
        privileges: Sequence[Privilege],
        *,
        login: RegistryLogin | None = None,
        progress: PullProgress | None = None,
    ) -> None:
        fault = self._begin("upgrade", name)
        plugin = self._disabled(name)
        config = self._pulled(remote, privileges, progress)
        self._plugins[name] = replace(plugin, config=config, reference=remote)
        self._shared.discard(name)
        self._end(fault)

    async def change_settings(self, name: str, settings: Sequence[str]) -> None:
        fault = self._begin("set", name)
        self._disabled(name)
        for text in settings:
            key, _, value = text.partition("=")
            self._set(name, key, value)
        self._end(fault)

    async def enable(self, name: str) -> None:
        fault = self._begin("enable", name)
        plugin = self._disabled(name)
        if self.slow_enables:
            self.slow_enables -= 1
            raise _refused("id already in use", 500)
        if plugin.config.entrypoint == (MISSING,):
            raise _refused(f"exec: {MISSING}: no such file", 500)
        self._plugins[name] = replace(plugin, enabled=True)
        self._end(fault)

    async def disable(self, name: str, *, force: bool = False) -> None:
        fault = self._begin("disable", name)
        plugin = self._plugins[name]
        if not plugin.enabled:
            raise _refused(f"plugin {name} is already disabled", 409)
        if name in self.used and not force:
            raise _refused(f"plugin {name} is in use", 409)
        self._plugins[name] = replace(plugin, enabled=False)
        self._end(fault)

    async def remove(self, name: str, *, force: bool = False) -> None:
        fault = self._begin("remove", name)
        if not force:
            self._disabled(name)
        del self._plugins[name]
        self._end(fault)

    def _begin(self, call: str, name: str) -> str | None:
        self.calls.append(f"{call} {name}")
        fault = next(self._faults, None)
        if fault == GONE:
            self._gone = True
        self._reach()
        if fault == REFUSED:
            raise _refused("no", 500)
        return fault

    def _end(self, fault: str | None) -> None:
        if fault == LOST:
            raise EngineUnreachable("the connection ended")

    def _reach(self) -> None:
        if self._gone:
            raise EngineUnreachable("nobody answers")

    def _disabled(self, name: str) -> InstalledPlugin:
        if name not in self._plugins:
            raise _refused(f"plugin {name} not found", 404)
        if self._plugins[name].enabled:
            raise _refused(f"plugin {name} is enabled", 409)
        return self._plugins[name]

    def _pulled(self, remote: str, privileges: Sequence[Privilege], progress: PullProgress | None) -> PluginConfig:
        if remote not in self.registry:
            raise _refused(f"error resolving plugin reference: {remote}", 500)
        if tuple(privileges) != self.registry[remote].privileges:
            raise _refused("incorrect privileges", 200)
        if progress is not None:
            progress(PullStep("", f"Digest: {self.registry[remote].digest}"))
        return self.registry[remote].config

    def _set(self, name: str, key: str, value: str) -> None:
        plugin = self._plugins[name]
        setting = next((one for one in list_settings(plugin.config) if key == one.key), None)
        if setting is None:
            raise _refused(f'setting "{key}" not found in the plugin configuration', 500)
        item = setting.name
        config, settings = plugin.config, plugin.settings
        if setting.kind == "env":
            values: Mapping[str, str] = dict(text.split("=", 1) for text in settings.env) | {item: value}
            settings = replace(settings, env=tuple(f"{name}={text}" for name, text in values.items()))
        elif setting.kind == "args":
            settings = replace(settings, args=tuple(value.split(" ")))
        elif setting.kind == "mount":
            mounts = tuple(replace(one, source=value) if one.name == item else one for one in config.mounts)
            config = replace(config, mounts=mounts)
        else:
            devices = tuple(replace(one, path=value) if one.name == item else one for one in config.devices)
            config = replace(config, devices=devices)
            if name in self._shared:
                settings = replace(settings, devices=devices)
        self._plugins[name] = replace(plugin, config=config, settings=settings)


def _refused(said: str, status: int) -> EngineRefused:
    return EngineRefused(f"the engine did not: {said}", status=status, said=said)
