"""Kinds of findings: the sentences about one kind of fault, with places for what a plugin has there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from string import Formatter
from typing import Final

from mirror.oci.printable_text import printable_ascii
from mirror.plugin.lint.findings import Finding, Severity
from mirror.plugin.rootfs.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingKind:
    """One row of the tables of findings. Calling a kind makes a :class:`Finding`.

    ``text``, ``seen`` and ``fix`` are templates of :meth:`str.format`. Every ``{field}`` in them is an argument of the
    call; text from the plugin is made printable and cut, and several texts are joined by commas.

    Attributes:
        code: the name for programs, such as ``layers-missing``; variants of one fault share it.
        severity: how much a fault of this kind matters.
        text: the fault.
        engines: the engines that it matters to: ``all``, ``none``, ``19.03``, ``since``, ``before`` or ``up to 19.03``.
        seen: what somebody sees who installs the plugin there.
        fix: what to do about it.
        own_words: fields that hold sentences of ours, which are neither changed nor cut.
        keeps_out: whether those engines do not install or run the plugin at all. Errors always keep it out.
    """

    code: str
    severity: Severity
    text: str
    engines: str = "all"
    seen: str
    fix: str
    own_words: frozenset[str] = frozenset()
    keeps_out: bool = False

    def __call__(self, **fields: str | int | Platform | Sequence[str]) -> Finding:
        """Make a finding of this kind.

        Args:
            fields: a value for each of :attr:`fields`, and no other.

        Raises:
            TypeError: a field is missing, or one is not in the templates.
        """
        if fields.keys() != self.fields:
            raise TypeError(f"{self.code} has the fields {sorted(self.fields)}, not {sorted(fields)}")
        values = {name: value if name in self.own_words else _shown(value) for name, value in fields.items()}
        text, seen, fix = (template.format_map(values) for template in (self.text, self.seen, self.fix))
        return Finding(self.code, self.severity, text, self.engines, seen, fix)

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields in the templates."""
        templates = (self.text, self.seen, self.fix)
        return frozenset(name for template in templates for _, name, _, _ in Formatter().parse(template) if name)


error: Final = partial(FindingKind, severity=Severity.ERROR)
warning: Final = partial(FindingKind, severity=Severity.WARNING)
hint: Final = partial(FindingKind, severity=Severity.HINT)


def _shown(value: str | int | Platform | Sequence[str]) -> str | int | Platform:
    if isinstance(value, int | Platform):
        return value
    return printable_ascii(value if isinstance(value, str) else ", ".join(value))
