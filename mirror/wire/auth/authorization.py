"""Parsing of the ``Authorization`` request header (RFC 9110, section 11.6.2)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Authorization:
    """A parsed ``Authorization`` header.

    Attributes:
        scheme: the scheme in lower case, such as ``bearer`` or ``basic``.
        credentials: the text after the scheme, without surrounding blanks.
    """

    scheme: str
    credentials: str = field(repr=False)  # a secret: must not appear in logs or tracebacks

    @classmethod
    def parse(cls, header: str) -> Authorization:
        """Split the header's value at the first blank. A text without a blank is a scheme without credentials."""
        scheme, _, credentials = header.partition(" ")
        return cls(scheme.lower(), credentials.strip())
