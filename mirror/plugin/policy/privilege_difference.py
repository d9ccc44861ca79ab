"""Differences between the privileges of two versions of a plugin."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, describe_privilege, requested_privileges


@dataclass(frozen=True, slots=True)
class PrivilegeDifference:
    """Privileges, each with one value, as ``("mount", "/var/run")``, in the engine's order; then what mounts reach.

    Attributes:
        added: what the later one asks for, and the earlier one did not.
        removed: what only the earlier one asked for.
    """

    added: tuple[RequestedPrivilege, ...]
    removed: tuple[RequestedPrivilege, ...]

    @classmethod
    def between(cls, earlier: PluginConfig, later: PluginConfig) -> PrivilegeDifference:
        """Compare two configurations. How often something is asked for, and in what order, is no difference."""
        before, after = requested_privileges(earlier), requested_privileges(later)
        return cls(_without(after, before), _without(before, after))

    def lines(self) -> tuple[str, ...]:
        """Format one line each: ``+ mount: /var/run``, ``- network: host``."""
        signed = [*(("+", one) for one in self.added), *(("-", one) for one in self.removed)]
        return tuple(f"{sign} {describe_privilege(one)}" for sign, one in signed)


def _without(
    these: tuple[RequestedPrivilege, ...], those: tuple[RequestedPrivilege, ...]
) -> tuple[RequestedPrivilege, ...]:
    known = set(those)
    return tuple(one for one in these if one not in known)
