"""Names of clients with certificates, as access rules give them: ``cert:CN=host-12``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import re2  # type: ignore[import-untyped]  # it has no stubs

from mirror.access.caller_names import CLIENT_PREFIX
from mirror.oci.errors import NameInvalid

#: Longest value in characters. A whole name fits in the columns of the catalog, which have 255 characters.
MOST_CHARACTERS: Final = 240
# Printable ASCII without the asterisk of patterns, and without blanks at the ends, which nobody sees in a log.
_VALUE: Final = re.compile(r"[!-)+-~](?:[ -)+-~]*[!-)+-~])?")
_PATTERN: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")


class CertificateNameKind(StrEnum):
    """Kind of a name in a certificate."""

    CN = "CN"
    DNS = "DNS"
    URI = "URI"
    EMAIL = "EMAIL"
    SHA256 = "SHA256"

    def normalized(self, value: str) -> str:
        """Return a value, or a pattern of values, with lower-case letters in the parts whose case has no meaning."""
        match self:
            case CertificateNameKind.DNS | CertificateNameKind.SHA256:
                return value.lower()
            case CertificateNameKind.EMAIL:
                local, at, host = value.rpartition("@")
                return f"{local}@{host.lower()}" if at else value
            case _:
                return value


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """All names of a client by its verified certificate.

    Attributes:
        names: names such as ``cert:CN=host-12`` and ``cert:DNS=host-12.example``; at least one.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, found: Iterable[tuple[CertificateNameKind, str]]) -> ClientIdentity:
        """Return the identity with these names. Values outside the grammar are left out.

        A value is printable ASCII without ``*``, with at most 240 characters. Text that looks like another name, such
        as a name with a line break or with letters of another alphabet, is therefore no name.
        """
        names = (
            f"{CLIENT_PREFIX}{kind}={kind.normalized(value)}"
            for kind, value in found
            if len(value) <= MOST_CHARACTERS and _VALUE.fullmatch(value)
        )
        return cls(tuple(dict.fromkeys(names)))

    @property
    def name(self) -> str:
        """The first name, which stands for the client in logs, quotas and decisions."""
        return self.names[0]


@dataclass(frozen=True, slots=True)
class IdentityPattern:
    """Pattern of names in an access rule: ``cert:CN=host-*``, or ``cert:*`` for every client with a certificate.

    Attributes:
        text: the pattern, with letters as in the names that it matches.
    """

    text: str
    _grammar: re2._Regexp = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # RE2 takes linear time. The names come from certificates, and a pattern may have many asterisks.
        grammar = re2.compile(".*".join(map(re2.escape, self.text.split("*"))))
        object.__setattr__(self, "_grammar", grammar)

    @classmethod
    def parse(cls, text: str) -> IdentityPattern:
        """Parse a pattern. ``*`` matches any number of characters.

        Raises:
            NameInvalid: the text is outside the grammar.
        """
        kind_text, equals, value = text.removeprefix(CLIENT_PREFIX).partition("=")
        if not text.startswith(CLIENT_PREFIX) or (kind_text != "*" and not equals):
            raise NameInvalid(
                f"{text[:100]!r} names no client certificate; fix: write {CLIENT_PREFIX}CN=NAME, or {CLIENT_PREFIX}*"
            )
        if text == f"{CLIENT_PREFIX}*":
            return cls(text)
        kind = next((each for each in CertificateNameKind if each.value == kind_text), None)
        if kind is None:
            kinds = ", ".join(CertificateNameKind)
            raise NameInvalid(f"{text[:100]!r}: {kind_text[:20]!r} names nothing in a certificate; fix: use {kinds}")
        if len(value) > MOST_CHARACTERS or not _PATTERN.fullmatch(value):
            raise NameInvalid(
                f"{text[:100]!r}: the name is empty, or has blanks at an end, characters outside ASCII, or more than "
                f"{MOST_CHARACTERS} characters; fix: write the name as in the certificate"
            )
        return cls(f"{CLIENT_PREFIX}{kind}={kind.normalized(value)}")

    def matches(self, identity: ClientIdentity) -> bool:
        """Return True if the pattern matches one of the names."""
        return any(self._grammar.fullmatch(name) for name in identity.names)
