"""Parsing and building of ``WWW-Authenticate`` (RFC 9110, section 11; distribution token specification)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: Most challenges read from one header, and most parameters read from one challenge.
MOST_CHALLENGES: Final = 16
MOST_PARAMETERS: Final = 32
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's name for a word, not a secret
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|(?=,)|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*')


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge, which describes one way to authenticate.

    Attributes:
        scheme: ``bearer`` or ``basic``, in lower case.
        parameters: ``realm``, ``service``, ``scope``, ``error`` and others, with names in lower case.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def build(self) -> str:
        """Return the header's value, with every parameter quoted."""
        listed = ",".join(f'{name}="{_quoted(value)}"' for name, value in self.parameters.items())
        return f"{self.scheme.capitalize()} {listed}" if listed else self.scheme.capitalize()


def parse(header: str) -> list[Challenge]:
    """Parse all challenges in one ``WWW-Authenticate`` value.

    Parsing stops at the first text outside the grammar, after :data:`MOST_CHALLENGES` challenges, or after a challenge
    with more than :data:`MOST_PARAMETERS` parameters. The challenges read so far are returned.
    """
    found: list[Challenge] = []
    position = 0
    while len(found) < MOST_CHALLENGES and (match := _SCHEME.match(header, position)):
        scheme, position = match[1].lower(), match.end()
        parameters: dict[str, str] = {}
        while len(parameters) < MOST_PARAMETERS and (pair := _PARAMETER.match(header, position)):
            value = pair[3] if pair[2] is None else re.sub(r"\\(.)", r"\1", pair[2])
            parameters.setdefault(pair[1].lower(), value)  # a repeated parameter counts once, with its first value
            position = pair.end()
        found.append(Challenge(scheme, parameters))
    return found


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
