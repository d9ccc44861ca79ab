"""Differences between the privileges of two versions of a plugin."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, describe_privilege, requested_privileges


@dataclass(frozen=True, slots=True)
class PrivilegeDifference:
    """Differences of privileges. Each privilege has one value, as in ``("mount", "/var/run")``.

    They are in the engine's order, followed by the access that mounts give beyond the privileges.

    Attributes:
        added: privileges that only the later version asks for.
        removed: privileges that only the earlier version asked for.
    """

    added: tuple[RequestedPrivilege, ...]
    removed: tuple[RequestedPrivilege, ...]

    @classmethod
    def between(cls, earlier: PluginConfig, later: PluginConfig) -> PrivilegeDifference:
        """Compare two configurations. Repetition and order of privileges make no difference."""
        before, after = requested_privileges(earlier), requested_privileges(later)
        return cls(_without(after, before), _without(before, after))

    def lines(self) -> tuple[str, ...]:
        """Return one line for each difference: ``+ mount: /var/run``, ``- network: host``."""
        signed = [*(("+", one) for one in self.added), *(("-", one) for one in self.removed)]
        return tuple(f"{sign} {describe_privilege(one)}" for sign, one in signed)


def _without(
    these: tuple[RequestedPrivilege, ...], those: tuple[RequestedPrivilege, ...]
) -> tuple[RequestedPrivilege, ...]:
    """Return the privileges of the first list that the second list lacks."""
    known = set(those)
    return tuple(one for one in these if one not in known)
