"""Verification of signatures: by which key, about which content, and until when."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from mirror.oci import Digest, Repository
from mirror.oci.name_pattern import NamePattern
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time
from mirror.signing.claim import SignatureUnreadable, SignedClaim
from mirror.signing.public_keys import PublicKey
from mirror.signing.signature_formats import StoredSignature

#: Characters of a text from outside in a message.
_MOST_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class CheckedSignature:
    """Result for one signature.

    Attributes:
        what: format and place of the signature, for people.
        key: the known key that has made the signature; None if none has.
        claim: what the signature says; None if it cannot be read, or no known key has made it.
        problem: why the signature does not count, as text after "it"; None if it counts.
        is_temporary: True if the problem may pass by itself.
    """

    what: str
    key: PublicKey | None = None
    claim: SignedClaim | None = None
    problem: str | None = None
    is_temporary: bool = False

    def problem_under(self, names: Collection[Repository], patterns: Iterable[NamePattern] = ()) -> str | None:
        """Return why the signature does not count for content with these names; None if it counts.

        Args:
            names: names under which the signer may know the content. A signature without a name counts for all.
            patterns: patterns of further such names.
        """
        if self.problem is not None or self.claim is None or not self.claim.name:
            return self.problem
        name = self.claim.repository
        if name is not None and (name in names or any(pattern.match(name) is not None for pattern in patterns)):
            return None
        return f"is for another repository: {printable(self.claim.name, _MOST_SHOWN)}"

    def to_json(self, names: Collection[Repository], patterns: Iterable[NamePattern] = ()) -> dict[str, Any]:
        """Return the result for content with these names as plain values."""
        claim, problem = self.claim, self.problem_under(names, patterns)
        return {
            "what": self.what,
            "key": self.key and self.key.name,
            "fingerprint": self.key and self.key.fingerprint,
            "name": claim and (printable(claim.name, _MOST_SHOWN) or None),
            "expires_at": claim and machine_time(claim.expires_at),
            "counts": problem is None,
            "problem": problem,
        }


@dataclass(frozen=True, slots=True)
class VerifiedContent:
    """The signatures of content.

    Attributes:
        subject: digest of the manifest.
        names: names under which a signer may know it.
        signatures: the signatures, in the order in which they were found.
        patterns: patterns of further such names, from the admission rules.
    """

    subject: Digest
    names: frozenset[Repository]
    signatures: tuple[CheckedSignature, ...]
    patterns: tuple[NamePattern, ...] = ()

    def problem(self, signature: CheckedSignature) -> str | None:
        """Return why one of the signatures does not count; None if it counts."""
        return signature.problem_under(self.names, self.patterns)

    @property
    def signers(self) -> tuple[PublicKey, ...]:
        """The keys that stand for the content, each once."""
        found = (each.key for each in self.signatures if self.problem(each) is None)
        return tuple(dict.fromkeys(key for key in found if key is not None))

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "digest": str(self.subject),
            "signers": [{"key": key.name, "fingerprint": key.fingerprint} for key in self.signers],
            "signatures": [each.to_json(self.names, self.patterns) for each in self.signatures],
        }


def unread(what: str, why: str, *, is_temporary: bool = False) -> CheckedSignature:
    """Return the result for what cannot be read as a signature."""
    return CheckedSignature(what, problem=f"cannot be read: {printable(why, _MOST_SHOWN)}", is_temporary=is_temporary)


def check_signature(
    stored: StoredSignature, what: str, keys: Sequence[PublicKey], digest: Digest, now: datetime
) -> CheckedSignature:
    """Verify a signature, without regard to the name of the content.

    Args:
        stored: the signature.
        what: format and place of the signature, for people.
        keys: the known keys.
        digest: digest of the content that the signature should be about.
        now: the present time, in UTC.
    """
    key = next((key for key in keys if key.verifies(stored.value, stored.signed)), None)
    if key is None:
        return CheckedSignature(what, problem="was made by none of the known keys, or for another payload")
    # Only now: a payload that no known key has signed is not parsed.
    try:
        claim = stored.read(stored.payload)
    except SignatureUnreadable as error:
        return CheckedSignature(what, key, problem=f"cannot be read: {printable(str(error), _MOST_SHOWN)}")
    return CheckedSignature(what, key, claim, _problem(claim, digest, now))


def _problem(claim: SignedClaim, digest: Digest, now: datetime) -> str | None:
    if digest not in claim.digests:
        return f"is for other content: {min(map(str, claim.digests))}"
    if claim.expires_at is not None and claim.expires_at <= now:
        return f"has expired on {machine_time(claim.expires_at)}"
    return None
