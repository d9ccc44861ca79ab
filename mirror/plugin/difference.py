"""What a plugin asks of a host that another version of it does not."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.plugin.config import PluginConfig
from mirror.plugin.privileges import compute


@dataclass(frozen=True, slots=True)
class PrivilegeDifference:
    """Privileges, each with one value, as ``("mount", "/var/run")``, in the engine's order.

    Attributes:
        added: what the later one asks for, and the earlier one did not.
        removed: what only the earlier one asked for.
    """

    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]

    @classmethod
    def between(cls, earlier: PluginConfig, later: PluginConfig) -> PrivilegeDifference:
        """Compare two configurations. How often something is asked for, and in what order, is no difference."""
        before, after = _asked(earlier), _asked(later)
        return cls(tuple(one for one in after if one not in before), tuple(one for one in before if one not in after))

    def lines(self) -> tuple[str, ...]:
        """One line each: ``+ mount: /var/run``, ``- network: host``."""
        gained = [f"+ {name}: {value}" for name, value in self.added]
        return (*gained, *(f"- {name}: {value}" for name, value in self.removed))


def _asked(config: PluginConfig) -> dict[tuple[str, str], None]:
    return {(privilege.name, value): None for privilege in compute(config) for value in privilege.values}
