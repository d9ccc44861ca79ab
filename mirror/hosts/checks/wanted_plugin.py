"""The plugin that a host shall have, with the settings that it shall have there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mirror.oci import Digest, Reference
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.settable import SETTABLE_FIELDS, settings_by_item
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.config_checks import check_config
from mirror.plugin.lint.plugin_view import PluginView


@dataclass(frozen=True, slots=True)
class WantedPlugin:
    """A plugin at a registry, and its intended name and settings on a host.

    Attributes:
        remote: reference for ``docker plugin install``.
        source: arguments by which commands of this program read the plugin, such as ``HOST/NAME:TAG --plain-http``.
        host: registry in the reference, as ``HOST[:PORT]``.
        name: local name with its tag, see :func:`mirror.plugin.config.own_name.local_name`.
        digest: digest of the manifest.
        by_digest: True if the reference names the digest.
        size_bytes: size of the compressed content.
        view: the plugin, as lint sees it.
        settings: intended settings by key, as written for ``docker plugin install``.
    """

    remote: str
    source: str
    host: str
    name: str
    digest: Digest
    by_digest: bool
    size_bytes: int
    view: PluginView
    settings: Mapping[str, str]

    @property
    def config(self) -> PluginConfig | None:
        """Configuration with the intended settings in it, as the engine starts the plugin; None if unreadable."""
        return None if self.view.config is None else with_settings(self.view.config, self.settings)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of lint, those about the config with the intended settings in it."""
        found, config = self.view.findings, self.config
        if not self.settings or self.view.config is None or config is None:
            return found
        about_defaults = frozenset(check_config(self.view.config))
        return (*(finding for finding in found if finding not in about_defaults), *check_config(config))

    def unknown_settings(self) -> Iterator[str]:
        """Yield the keys that are no settings of the plugin."""
        known = {key for setting in self.view.settings for key in _spellings(setting.kind, setting.key)}
        yield from (key for key in self.settings if key not in known)


def source_arguments(reference: Reference, *, plain_http: bool) -> str:
    """Return the arguments by which commands read a plugin.

    Args:
        reference: reference to the plugin.
        plain_http: True if its registry was read over plain HTTP.
    """
    return f"{reference} --plain-http" if plain_http else str(reference)


def with_settings(config: PluginConfig, settings: Mapping[str, str]) -> PluginConfig:
    """Return a config with the values of settings in it, as ``docker plugin set`` writes them."""
    known = settings_by_item(config)

    def value(kind: str, name: str, default: str | None) -> str | None:
        keys = _spellings(kind, known[kind, name].key) if (kind, name) in known else ()
        return next((settings[key] for key in keys if key in settings), default)

    arguments = value("args", config.args.name, None)
    return replace(
        config,
        env=tuple(replace(env, value=value("env", env.name, env.value)) for env in config.env),
        mounts=tuple(replace(mount, source=value("mount", mount.name, mount.source)) for mount in config.mounts),
        devices=tuple(replace(device, path=value("device", device.name, device.path)) for device in config.devices),
        args=config.args if arguments is None else replace(config.args, value=tuple(arguments.split(" "))),
    )


def _spellings(kind: str, key: str) -> tuple[str, ...]:
    """Return the keys by which engines take a setting: as listed, and with its field."""
    field = f".{SETTABLE_FIELDS[kind]}"
    return (key,) if key.endswith(field) else (key, f"{key}{field}")
