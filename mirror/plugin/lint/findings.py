"""Findings: faults of a plugin that can be told before anybody installs it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum

from mirror.oci.errors import ManifestInvalid


class Severity(Enum):
    """The weight of a finding."""

    #: No engine that is in use can do anything with the plugin, or it would install something else than was meant.
    ERROR = "error"
    #: Some engines, or other clients, will not take it.
    WARNING = "warning"
    #: It may well be meant so, and is worth a look where the plugin does not work.
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a plugin.

    Attributes:
        code: its name for programs, such as ``layers-missing``.
        severity: how much it matters.
        text: what is wrong.
        engines: the engines that it matters to, such as ``up to 19.03``.
        seen: what somebody sees who installs the plugin there.
        mend: what to do about it.
    """

    code: str
    severity: Severity
    text: str
    engines: str
    seen: str
    mend: str

    @property
    def sentence(self) -> str:
        """The fault and where it is seen; of an error, also what to do: who pushed it gets no further otherwise."""
        told = f"{self.text} (engines {self.engines}: {self.seen})"
        return f"{told}; {self.mend}" if self.severity is Severity.ERROR else told

    def to_json(self) -> dict[str, str]:
        """Convert to plain values for JSON."""
        return {**asdict(self), "severity": self.severity.value}

    @classmethod
    def from_json(cls, value: object) -> Finding:
        """Read what :meth:`to_json` gave.

        Raises:
            ManifestInvalid: it is something else.
        """
        try:
            members = dict(value)  # type: ignore[call-overload]  # what it raises for other kinds is caught
            return cls(**{**members, "severity": Severity(members["severity"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestInvalid(f"not a finding: {error}") from error
