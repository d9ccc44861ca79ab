"""Repositories, tags and references (OCI distribution-spec, "Pulling manifests"; distribution reference grammar)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.errors import DigestInvalid, NameInvalid

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
)

#: Longest repository name accepted, in characters: what engines accept, host left out.
MAX_REPOSITORY_LENGTH = 255
#: Longest tag accepted, in characters.
MAX_TAG_LENGTH = 128


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository's name: lower-case path components, joined by ``/``."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read a repository name.

        Raises:
            NameInvalid: it is outside the grammar, or over :data:`MAX_REPOSITORY_LENGTH` characters.
        """
        if len(text) > MAX_REPOSITORY_LENGTH:
            raise NameInvalid(f"repository name of {len(text)} characters: at most {MAX_REPOSITORY_LENGTH} are allowed")
        if not cls.is_valid(text):
            raise NameInvalid(
                f"{text!r} is not a repository name: lower-case letters, digits and the separators . _ - "
                "inside each component, components joined by /",
                name=text,
            )
        return cls(text)

    @staticmethod
    def is_valid(text: str) -> bool:
        """Whether :meth:`parse` reads a text. Costs a tenth of trying that."""
        return len(text) <= MAX_REPOSITORY_LENGTH and _REPOSITORY.fullmatch(text) is not None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A tag: a name for a manifest that may move."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Tag:
        """Read a tag.

        Raises:
            NameInvalid: it is outside the grammar, or over :data:`MAX_TAG_LENGTH` characters.
        """
        if not cls.is_valid(text):
            shown = text if len(text) <= MAX_TAG_LENGTH else text[:32] + "…"
            raise NameInvalid(
                f"{shown!r} is not a tag: at most {MAX_TAG_LENGTH} letters, digits, _ . -, not beginning with . or -",
                tag=shown,
            )
        return cls(text)

    @staticmethod
    def is_valid(text: str) -> bool:
        """Whether :meth:`parse` reads a text. Costs a tenth of trying that."""
        return _TAG.fullmatch(text) is not None

    def __str__(self) -> str:
        return self.name


def parse_reference(text: str) -> Tag | Digest:
    """Read what stands behind ``manifests/``: a digest where it holds a colon, else a tag.

    Raises:
        DigestInvalid: it looks like a digest and is none.
        NameInvalid: it is not a tag.
    """
    return Digest.parse(text) if ":" in text else Tag.parse(text)


@dataclass(frozen=True, slots=True)
class Reference:
    """``[HOST[:PORT]/]NAME[:TAG][@DIGEST]``, as people write it.

    Attributes:
        host: the registry, or None for our own store.
        repository: the repository there.
        tag: the tag; ``latest`` where neither tag nor digest was written, None where only a digest was.
        digest: the digest, which decides where both are given.
    """

    host: str | None
    repository: Repository
    tag: Tag | None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference. The first component is a host where it holds ``.`` or ``:``, or is ``localhost``.

        Raises:
            NameInvalid: it is outside the grammar.
            DigestInvalid: what follows ``@`` is not a digest.
        """
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        host: str | None = None
        first, slash, remainder = rest.partition("/")
        if slash and (first == "localhost" or "." in first or ":" in first):
            if _HOST.fullmatch(first) is None:
                raise NameInvalid(f"{first!r} is not a host: write HOST or HOST:PORT", host=first)
            host, rest = first, remainder
        name, colon, tag_text = rest.partition(":")
        repository = Repository.parse(name)
        if colon:
            return cls(host, repository, Tag.parse(tag_text), digest)
        return cls(host, repository, None if digest else Tag("latest"), digest)

    @property
    def target(self) -> Tag | Digest:
        """What to ask the registry for: the digest where there is one, else the tag."""
        if self.digest is not None:
            return self.digest
        if self.tag is None:
            raise DigestInvalid(f"{self} names neither a tag nor a digest")
        return self.tag

    def __str__(self) -> str:
        host = f"{self.host}/" if self.host else ""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{host}{self.repository}{tag}{digest}"
