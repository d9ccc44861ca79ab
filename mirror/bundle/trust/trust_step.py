"""The place of a key set among the recorded ones, when a person wants to trust it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mirror.bundle.bundle_errors import BundleUntrusted
from mirror.bundle.trust.key_set import KeySet, SignedKeySet
from mirror.oci import Digest
from mirror.records.bundle_trust import TrustedKeySet


class TrustStep(Enum):
    """Step that makes a key set trusted.

    Attributes:
        KNOWN: none. The key set is the newest one of a recorded chain.
        REPLACED: none. A newer key set of a recorded chain has replaced the key set.
        FIRST: a person trusts the key set as the first of a chain.
        NEXT: the key set follows the newest one of a recorded chain, by their signatures.
    """

    KNOWN = "known"
    REPLACED = "replaced"
    FIRST = "first"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class RecordedChain:
    """Trusted key sets of one chain, as the data folder records them.

    Attributes:
        root: digest of the first of them.
        key_sets: the key sets, in the order of their versions.
        records: their records, in the same order.
    """

    root: Digest
    key_sets: tuple[KeySet, ...]
    records: tuple[TrustedKeySet, ...]

    @property
    def newest(self) -> KeySet:
        """The key set that counts."""
        return self.key_sets[-1]


def recorded_chains(records: Sequence[TrustedKeySet]) -> tuple[RecordedChain, ...]:
    """Return the chains of recorded key sets, the one that was trusted first in front.

    Raises:
        BundleInvalid: a record is damaged.
    """
    by_root: dict[Digest, list[TrustedKeySet]] = {}
    for each in records:
        by_root.setdefault(each.root, []).append(each)
    return tuple(
        RecordedChain(root, tuple(_parsed(each).key_set for each in found), tuple(found))
        for root, found in by_root.items()
    )


def judge_key_set(signed: SignedKeySet, chains: Sequence[RecordedChain]) -> tuple[TrustStep, TrustedKeySet]:
    """Return the step that makes a key set trusted, and the record of it.

    Raises:
        BundleUntrusted: too few keys have signed the key set, or, as the next one of a chain, too few keys of both. Or
            the key set follows one that has another successor here.
    """
    key_set = signed.key_set
    for chain in chains:
        if key_set == chain.newest:
            return TrustStep.KNOWN, _record(chain.root, signed)
        if key_set in chain.key_sets:
            return TrustStep.REPLACED, _record(chain.root, signed)
        if key_set.previous == chain.newest.digest:
            signed.require_successor_of(chain.newest)
            return TrustStep.NEXT, _record(chain.root, signed)
        if key_set.previous in {each.digest for each in chain.key_sets}:
            raise BundleUntrusted(
                f"there are two key sets {key_set.version} after the same one, and the other one is trusted here: "
                "keys of the former set may be in wrong hands; fix: ask the sender which one is right. If it is this "
                f"one, 'plugin-mirror bundle trust --remove {chain.root.hex}' comes first"
            )
    signed.require_own_signatures()
    return TrustStep.FIRST, _record(key_set.digest, signed)


def _record(root: Digest, signed: SignedKeySet) -> TrustedKeySet:
    return TrustedKeySet(root, signed.key_set.version, signed.to_bytes(), signed.key_set.resets)


def _parsed(record: TrustedKeySet) -> SignedKeySet:
    return SignedKeySet.parse(record.envelope, f"the recorded key set {record.version}")
