"""Checks of settings, variables and texts of a config. Pure decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import masked_name
from mirror.plugin.config.settable import ConfigItem, settable_items
from mirror.plugin.findings import setting_findings as table
from mirror.plugin.findings.finding import Finding


def check_settings(config: PluginConfig) -> Iterator[Finding]:
    """Yield findings about settings that no host can set, then about variables and zero bytes."""
    for item, why_not in settable_items(config):
        yield from _check_words(item)
        if why_not:
            yield table.SETTING_UNREACHABLE(kind=item.kind, name=masked_name(item.name), reason=why_not)
    for env in config.env:
        # The variable is not passed on without a value.
        if env.value is not None and (not env.name or env.name.startswith("=")):
            yield table.ENV_NAMELESS(name=env.name)
        elif "=" in env.name and not env.name.startswith("="):
            yield table.ENV_NAME_EQUALS(name=masked_name(env.name), before=env.name.partition("=")[0])
    values = Counter(env.name for env in config.env if env.value is not None)
    for name, count in values.items():
        if count > 1:
            yield table.ENV_TWICE(name=masked_name(name))
    for place in dict.fromkeys(place for place, text in _texts(config) if "\0" in text):
        yield table.ZERO_BYTE(place=place)


def _check_words(item: ConfigItem) -> Iterator[Finding]:
    """Yield the finding about words in Settable that engines ignore."""
    words = tuple(dict.fromkeys(word for word in item.settable if word != item.field))
    if item.field not in item.settable:
        yield table.SETTABLE_IGNORED(kind=item.kind, name=masked_name(item.name), words=words, wanted=item.field)
    elif words:
        yield table.SETTABLE_WORDS(kind=item.kind, name=masked_name(item.name), words=words, wanted=item.field)


def _texts(config: PluginConfig) -> Iterator[tuple[str, str]]:
    """Yield the texts of a config that the engine passes to the kernel, with their places."""
    for text in config.entrypoint:
        yield "Entrypoint", text
    for text in config.args.value:
        yield "Args", text
    yield "WorkDir", config.work_dir
    yield "PropagatedMount", config.propagated_mount
    for env in config.env:
        if env.value is not None:
            yield "Env", env.name + env.value
    for mount in config.mounts:
        yield "Mounts", "".join((mount.source or "", mount.destination, *mount.options))
    for device in config.devices:
        yield "Devices", device.path or ""
