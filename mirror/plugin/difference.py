"""What a plugin asks of a host that another version of it does not."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.plugin.config import PluginConfig
from mirror.plugin.privilege_pattern import Asked, asked, shown


@dataclass(frozen=True, slots=True)
class PrivilegeDifference:
    """Privileges, each with one value, as ``("mount", "/var/run")``, in the engine's order; then what mounts reach.

    Attributes:
        added: what the later one asks for, and the earlier one did not.
        removed: what only the earlier one asked for.
    """

    added: tuple[Asked, ...]
    removed: tuple[Asked, ...]

    @classmethod
    def between(cls, earlier: PluginConfig, later: PluginConfig) -> PrivilegeDifference:
        """Compare two configurations. How often something is asked for, and in what order, is no difference."""
        before, after = asked(earlier), asked(later)
        return cls(_without(after, before), _without(before, after))

    def lines(self) -> tuple[str, ...]:
        """One line each: ``+ mount: /var/run``, ``- network: host``."""
        return (*(f"+ {shown(one)}" for one in self.added), *(f"- {shown(one)}" for one in self.removed))


def _without(these: tuple[Asked, ...], those: tuple[Asked, ...]) -> tuple[Asked, ...]:
    known = set(those)
    return tuple(one for one in these if one not in known)
