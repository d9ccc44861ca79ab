"""The condition that enough of some keys have signed a plugin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mirror.oci import Repository
from mirror.oci.name_pattern import NamePattern

if TYPE_CHECKING:  # their libraries take a while, and few configurations have keys
    from mirror.signing.public_keys import PublicKey
    from mirror.signing.signature_verification import CheckedSignature

#: Most signatures that do not count and are named in a reason.
_MOST_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Condition that enough keys have signed.

    Attributes:
        keys: the keys, each once. Those whose files cannot be read are left out, and never count.
        threshold: number of keys that must have signed. May be larger than the number of keys that can be read.
        names: further names under which the signers may know the content.
    """

    keys: tuple[PublicKey, ...]
    threshold: int = 1
    names: tuple[NamePattern, ...] = ()

    def signers(self, checks: Sequence[CheckedSignature], names: Collection[Repository]) -> tuple[PublicKey, ...]:
        """Return the keys of the condition that stand for content with these names, each once, in their order."""
        found = {each.key for each in checks if self._problem(each, names) is None}
        return tuple(key for key in self.keys if key in found)

    def met(self, checks: Sequence[CheckedSignature], names: Collection[Repository]) -> str | None:
        """Return who has signed, as text after "it"; None if the condition is not met."""
        found = self.signers(checks, names)
        return f"is signed by {', '.join(map(str, found))}" if len(found) >= self.threshold else None

    def unmet(self, checks: Sequence[CheckedSignature], names: Collection[Repository]) -> str:
        """Return what is missing, as text after "it", with the reason of each signature that does not count."""
        found, known = self.signers(checks, names), len(self.keys)
        if not known:
            return "is not signed: no key of the rule can be read"
        wanted = f"{self.threshold} of {known} keys" if known != 1 or self.threshold != 1 else str(self.keys[0])
        by = f"; by {', '.join(map(str, found))} only" if found else ""
        problems = [f"{each.what} {why}" for each in checks if (why := self._problem(each, names)) is not None]
        more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
        told = "; ".join(problems[:_MOST_TOLD]) or ("" if found else "there is no signature")
        return f"is not signed by {wanted}{by}{f': {told}{more}' if told else ''}"

    def to_json(self) -> list[Any]:
        """Return the condition as plain values, which differ for different conditions."""
        return [[key.fingerprint for key in self.keys], self.threshold, [str(name) for name in self.names]]

    def _problem(self, checked: CheckedSignature, names: Collection[Repository]) -> str | None:
        if checked.key is not None and checked.key not in self.keys:
            return "was made by a key that this rule does not name"
        return checked.problem_under(names, self.names)
