"""Checks of a plugin's config for faults that prevent enabling or using the plugin. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.secret_values import secrets_in
from mirror.plugin.findings import config_findings as table
from mirror.plugin.findings.finding import Finding
from mirror.plugin.lint.interface_checks import check_interface
from mirror.plugin.lint.mount_checks import check_mounts
from mirror.plugin.lint.placeholders import check_placeholders
from mirror.plugin.lint.setting_checks import check_settings

_CAPABILITY_NAMES: Final = """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH
    FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN
    NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT
    SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
"""
#: capabilities(7), Linux 5.9 and later.
_CAPABILITIES: Final = frozenset(f"CAP_{name}" for name in _CAPABILITY_NAMES.split())


def check_config(config: PluginConfig) -> Iterator[Finding]:
    """Yield all findings about a config, in the order of the checks."""
    words = (*config.entrypoint, *config.args.value)
    if not words:
        yield table.ENTRYPOINT_EMPTY()
    elif not words[0]:
        yield table.ENTRYPOINT_NAMELESS()
    if config.work_dir and not config.work_dir.startswith("/"):
        yield table.WORK_DIR_RELATIVE(work_dir=config.work_dir, absolute=f"/{config.work_dir}")
    yield from check_interface(config.interface)
    yield from check_settings(config)
    yield from check_mounts(config)
    for name in config.capabilities:
        if name not in _CAPABILITIES:
            yield table.CAPABILITY_UNKNOWN(name=name)
    if config.network_type not in {"", "null", "none", "host"}:
        yield table.NETWORK_TYPE(name=config.network_type)
    if config.ipc_host or config.pid_host:
        yield table.NAMESPACES_DROPPED()
    user_id, group_id = config.user_ids
    # Engines build the runtime's configuration without User, so the program runs as root.
    if user_id or group_id:
        yield table.USER_IGNORED(user_id=user_id, group_id=group_id)
    yield from check_placeholders(config)
    yield from check_secrets(config)


def check_secrets(config: PluginConfig) -> Iterator[Finding]:
    """Yield a finding about the secrets in a config. The finding has the names only."""
    if parts := list(secrets_in(config)):
        yield table.SECRET_DEFAULT(parts=parts)
