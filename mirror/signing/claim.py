"""Claims of signatures about manifests: payloads of simple signing, and in-toto statements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mirror.oci import Digest, Repository
from mirror.oci.digest import ALGORITHMS
from mirror.oci.errors import ClientFault
from mirror.oci.names import Reference
from mirror.oci.strict_reading.strict_json import read_object

#: Predicate type of the statements of ``cosign sign``. Statements of other types are no signatures: a list of parts, or
#: a scan, does not say who stands for the content.
SIGN_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
STATEMENT_TYPE: Final = "application/vnd.in-toto+json"
_STATEMENTS: Final = frozenset({"https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"})
_SIMPLE_SIGNING: Final = "cosign container image signature"
_SIMPLE_TYPES: Final = frozenset({_SIMPLE_SIGNING, SIGN_PREDICATE})
_EXPIRES: Final = "expires"
_MOST_SUBJECTS: Final = 64


class SignatureUnreadable(ValueError):
    """A document is not a signature in a known format. Its text follows "cannot be read:" in messages."""


@dataclass(frozen=True, slots=True)
class SignedClaim:
    """Claim that somebody has signed.

    Attributes:
        digests: digests of the signed content. A signature of simple signing has one.
        name: name of the signed content as the signer wrote it; empty if the signature has none.
        expires_at: time in UTC from which the signature does not count any more; None if it has none.
    """

    digests: frozenset[Digest]
    name: str
    expires_at: datetime | None = None

    @classmethod
    def of_simple_signing(cls, payload: bytes) -> SignedClaim:
        """Return the claim in a payload of simple signing (cosign, specs/SIGNATURE_SPEC.md).

        Raises:
            SignatureUnreadable: the payload has another form.
        """
        match _object(payload, "payload"):
            case {
                "critical": {
                    "type": str(kind),
                    "identity": {"docker-reference": str(name)},
                    "image": {"docker-manifest-digest": str(digest)},
                },
                **others,
            } if kind in _SIMPLE_TYPES:
                return cls(frozenset({_digest(digest)}), name, _expiry(others.get("optional")))
        raise SignatureUnreadable("its payload is not one of cosign")

    @classmethod
    def of_statement(cls, payload: bytes) -> SignedClaim:
        """Return the claim in an in-toto statement of ``cosign sign``.

        Raises:
            SignatureUnreadable: the payload has another form, or makes a statement of another type.
        """
        match _object(payload, "statement"):
            case {"_type": str(kind), "predicateType": str(predicate), "subject": [dict(first), *more], **others} if (
                kind in _STATEMENTS
            ):
                if predicate != SIGN_PREDICATE:
                    raise SignatureUnreadable("it is a statement of another type than a signature")
                subjects = [first, *more]
                if len(subjects) > _MOST_SUBJECTS:
                    raise SignatureUnreadable(f"it has more than {_MOST_SUBJECTS} subjects")
                digests = frozenset(digest for subject in subjects for digest in _digests(subject))
                # One name for several subjects would not say which of them it is about.
                name = str(first.get("name") or "") if not more else ""
                return cls(digests, name, _expiry(others.get("predicate")))
        raise SignatureUnreadable("it is not an in-toto statement")

    @property
    def repository(self) -> Repository | None:
        """Repository of :attr:`name`, without the host; None if the name is not one of a repository."""
        try:
            return Reference.parse(self.name).repository
        except ClientFault:
            return None


def simple_signing_payload(
    name: str, digest: Digest, creator: str, signed_at: datetime, expires_at: datetime | None
) -> bytes:
    """Return a payload of simple signing. The same arguments give the same bytes.

    Args:
        name: name of the signed content.
        digest: digest of its manifest.
        creator: program that signs.
        signed_at: time of the signature, with a time zone.
        expires_at: time from which the signature does not count any more; None for no end. cosign ignores it.
    """
    optional: dict[str, object] = {"creator": creator, "timestamp": int(signed_at.timestamp())}
    if expires_at is not None:
        optional[_EXPIRES] = expires_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return json.dumps(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": str(digest)},
                "type": _SIMPLE_SIGNING,
            },
            "optional": optional,
        },
        separators=(",", ":"),
    ).encode()


def _object(payload: bytes, what: str) -> dict[str, Any]:
    try:
        document = read_object(payload, f"its {what}")
    except ClientFault as error:
        raise SignatureUnreadable(error.message) from error
    # cosign is written in Go, which ignores the case of names.
    if document.folded is not None:
        raise SignatureUnreadable(f"its {what} has a name twice in one object")
    return document.body


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except ClientFault as error:
        raise SignatureUnreadable(error.message) from error


def _digests(subject: object) -> frozenset[Digest]:
    match subject:
        case {"digest": {**named}}:
            # Statements may have further digests of other algorithms, such as that of a git commit.
            found = {_digest(f"{algorithm}:{value}") for algorithm, value in named.items() if algorithm in ALGORITHMS}
            if found:
                return frozenset(found)
    raise SignatureUnreadable("a subject of its statement has no digest of a manifest")


def _expiry(optional: object) -> datetime | None:
    if not isinstance(optional, Mapping) or _EXPIRES not in optional:
        return None
    # A signature whose end cannot be read must not count for ever.
    try:
        moment = datetime.fromisoformat(str(optional[_EXPIRES]))
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SignatureUnreadable("its time of expiry is not a time of ISO 8601") from error
    raise SignatureUnreadable("its time of expiry has no time zone")
