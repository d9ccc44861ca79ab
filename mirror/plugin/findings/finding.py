"""Findings: faults of a plugin that can be detected before an install."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum

from mirror.oci.errors import ManifestInvalid


class Severity(Enum):
    """Severity of a finding."""

    #: No engine in use can install or run the plugin, or an engine would install other content than intended.
    ERROR = "error"
    #: Some engines or other clients do not accept the plugin, or it may fail when it is used.
    WARNING = "warning"
    #: Possibly intended; worth a look if the plugin does not work.
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a plugin.

    Attributes:
        code: name for programs, such as ``layers-missing``.
        severity: severity of the fault.
        text: the fault.
        engines: affected engines, such as ``up to 19.03``.
        seen: effect that a user of these engines sees.
        fix: advice for fixing the fault.
    """

    code: str
    severity: Severity
    text: str
    engines: str
    seen: str
    fix: str

    @property
    def sentence(self) -> str:
        """The fault and its effect. For an error also the fix, because nobody can go on without one."""
        told = f"{self.text} (engines {self.engines}: {self.seen})"
        return f"{told}; fix: {self.fix}" if self.severity is Severity.ERROR else told

    @property
    def advice(self) -> str:
        """The fault, its effect and the fix, for whoever makes the plugin."""
        return f"{self.text} (engines {self.engines}: {self.seen}); fix: {self.fix}"

    def to_json(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {**asdict(self), "severity": self.severity.value}

    @classmethod
    def from_json(cls, value: object) -> Finding:
        """Read the values that :meth:`to_json` returned.

        Raises:
            ManifestInvalid: the value is not a finding.
        """
        try:
            members = dict(value)  # type: ignore[call-overload]  # errors for other types are caught below
            if "mend" in members:  # records of earlier versions
                members["fix"] = members.pop("mend")
            return cls(**{**members, "severity": Severity(members["severity"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestInvalid(f"not a finding: {error}") from error
