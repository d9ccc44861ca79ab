"""Repositories, tags and references (OCI distribution-spec, "Pulling manifests"; grammar of distribution/reference)."""

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

#: Length limit of a repository name in characters, without the host. Engines have the same limit.
MAX_REPOSITORY_LENGTH = 255
#: Length limit of a tag in characters.
MAX_TAG_LENGTH = 128


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """Name of a repository: lower-case path components joined by ``/``."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Return the repository with this name.

        Raises:
            NameInvalid: the name is outside the grammar, or longer than :data:`MAX_REPOSITORY_LENGTH` characters.
        """
        # A separate message that does not quote the name, which may be very long.
        if len(text) > MAX_REPOSITORY_LENGTH:
            raise NameInvalid(f"repository name of {len(text)} characters: at most {MAX_REPOSITORY_LENGTH} are allowed")
        if not cls.is_valid(text):
            raise NameInvalid(
                f"{text!r} is not a repository name; fix: use a-z and 0-9, with . _ - between them "
                "and / between components",
                name=text,
            )
        return cls(text)

    @staticmethod
    def is_valid(text: str) -> bool:
        """Return True if :meth:`parse` accepts the text. Takes a tenth of the time of catching its error."""
        return len(text) <= MAX_REPOSITORY_LENGTH and _REPOSITORY.fullmatch(text) is not None

    # The generated one makes a tuple first, and every request hashes names several times.
    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """Tag: a movable name of a manifest."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Tag:
        """Return the tag with this name.

        Raises:
            NameInvalid: the name is outside the grammar, or longer than :data:`MAX_TAG_LENGTH` characters.
        """
        if not cls.is_valid(text):
            # The message quotes only the beginning of a long text.
            shown = text if len(text) <= MAX_TAG_LENGTH else text[:32] + "…"
            raise NameInvalid(
                f"{shown!r} is not a tag; fix: use at most {MAX_TAG_LENGTH} letters, digits and _ . -, "
                "and begin with a letter, a digit or _",
                tag=shown,
            )
        return cls(text)

    @staticmethod
    def is_valid(text: str) -> bool:
        """Return True if :meth:`parse` accepts the text. Takes a tenth of the time of catching its error."""
        return _TAG.fullmatch(text) is not None

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


def parse_reference(text: str) -> Tag | Digest:
    """Return the digest or tag that follows ``manifests/`` in a path. A text with a colon is a digest.

    Raises:
        DigestInvalid: the text has a colon and is not a digest.
        NameInvalid: the text is not a tag.
    """
    # The grammar of tags has no colon, and every digest has one.
    return Digest.parse(text) if ":" in text else Tag.parse(text)


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference as people write it: ``[HOST[:PORT]/]NAME[:TAG][@DIGEST]``.

    Attributes:
        host: registry; None for the local store.
        repository: repository in the registry.
        tag: the tag; ``latest`` if neither tag nor digest was written, None if only a digest was written.
        digest: the digest, which takes precedence over the tag.
    """

    host: str | None
    repository: Repository
    tag: Tag | None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the reference in a text.

        The first component is a host if it contains ``.`` or ``:``, or is ``localhost``.

        Raises:
            NameInvalid: the text is outside the grammar.
            DigestInvalid: the part after ``@`` is not a digest.
        """
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        host: str | None = None
        first, slash, remainder = rest.partition("/")
        if slash and (first == "localhost" or "." in first or ":" in first):
            if _HOST.fullmatch(first) is None:
                raise NameInvalid(f"{first!r} is not a host; fix: write HOST or HOST:PORT", host=first)
            host, rest = first, remainder
        name, colon, tag_text = rest.partition(":")
        repository = Repository.parse(name)
        if colon:
            return cls(host, repository, Tag.parse(tag_text), digest)
        return cls(host, repository, None if digest else Tag("latest"), digest)

    @property
    def target(self) -> Tag | Digest:
        """Digest or tag to request from the registry: the digest if there is one, else the tag."""
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
