"""Kinds of findings: sentences about one kind of fault, with fields for values from a plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from string import Formatter
from typing import Final

from mirror.oci.printable_text import printable_ascii
from mirror.plugin.findings.finding import Finding, Severity
from mirror.plugin.rootfs.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingKind:
    """One row of the tables of findings. Calling a kind returns a :class:`Finding`.

    ``text``, ``seen`` and ``fix`` are templates of :meth:`str.format`. Every ``{field}`` in them is an argument of the
    call. Text from the plugin is made printable and cut, and several texts are joined by commas.

    Attributes:
        code: name for programs, such as ``layers-missing``; variants of one fault share a code.
        severity: severity of a fault of this kind.
        text: the fault.
        engines: affected engines: ``all``, ``none``, ``19.03``, ``since``, ``before`` or ``up to 19.03``.
        seen: effect that a user of these engines sees.
        fix: advice for fixing the fault.
        own_words: fields with our own sentences, which are neither changed nor cut.
        keeps_out: True if the affected engines do not install or run the plugin. Errors always keep a plugin out.
        refuses_push: True if the server does not accept a plugin with this fault. Severity alone refuses nothing.
    """

    code: str
    severity: Severity
    text: str
    engines: str = "all"
    seen: str
    fix: str
    own_words: frozenset[str] = frozenset()
    keeps_out: bool = False
    refuses_push: bool = False

    def __call__(self, **fields: str | int | Platform | Sequence[str]) -> Finding:
        """Return a finding of this kind.

        Args:
            fields: a value for each name in :attr:`fields`, and no other.

        Raises:
            TypeError: a field is missing or unknown.
        """
        # format_map ignores an unknown field, and names only the field if one is missing.
        if fields.keys() != self.fields:
            raise TypeError(f"{self.code} has the fields {sorted(self.fields)}, not {sorted(fields)}")
        values = {name: value if name in self.own_words else _shown(value) for name, value in fields.items()}
        text, seen, fix = (template.format_map(values) for template in (self.text, self.seen, self.fix))
        return Finding(self.code, self.severity, text, self.engines, seen, fix)

    @property
    def fields(self) -> frozenset[str]:
        """Names of the fields in the templates."""
        templates = (self.text, self.seen, self.fix)
        return frozenset(name for template in templates for _, name, _, _ in Formatter().parse(template) if name)


#: Effect of a fault that the runtime reports. Newer engines begin it with "failed to create task for container".
RUNTIME_ERROR: Final = "enabling fails: 'OCI runtime create failed: ... {}'"

error: Final = partial(FindingKind, severity=Severity.ERROR)
refusal: Final = partial(FindingKind, severity=Severity.ERROR, refuses_push=True)
warning: Final = partial(FindingKind, severity=Severity.WARNING)
hint: Final = partial(FindingKind, severity=Severity.HINT)


def _shown(value: str | int | Platform | Sequence[str]) -> str | int | Platform:
    """Return a value as text for a message: printable ASCII of bounded length. Numbers and platforms are unchanged."""
    if isinstance(value, int | Platform):
        return value
    return printable_ascii(value if isinstance(value, str) else ", ".join(value))
