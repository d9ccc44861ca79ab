"""The ``Authorization`` header of requests (RFC 9110, section 11.6.2)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Authorization:
    """A header, taken apart.

    Attributes:
        scheme: such as ``bearer`` or ``basic``, lower case.
        credentials: the rest, without blanks around it.
    """

    scheme: str
    credentials: str = field(repr=False)

    @classmethod
    def parse(cls, header: str) -> Authorization:
        """Take a header's value apart; a text without a blank is a scheme without credentials."""
        scheme, _, credentials = header.partition(" ")
        return cls(scheme.lower(), credentials.strip())
