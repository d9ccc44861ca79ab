"""Decision whether the signatures and the serial of a bundle allow its use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from mirror.bundle.bundle_errors import BundleInvalid, BundleUntrusted
from mirror.bundle.format.bundle_head import BundleHead
from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.statement import Statement
from mirror.bundle.trust.key_set import MOST_KEY_SETS, KeySet, SignedKeySet
from mirror.bundle.trust.signing_keys import VerifyingKey
from mirror.oci import Digest
from mirror.oci.printable_text import quoted
from mirror.records.bundle_trust import StreamState, TrustedKeySet

#: Signers that are named in a message.
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Newest trusted key set of a chain.

    Attributes:
        root: digest of the first trusted key set of the chain.
        key_set: the newest key set.
        recorded: True if the data folder records the chain; False for keys that one command trusts.
        replaced: fingerprints of keys of former key sets, for messages.
    """

    root: Digest
    key_set: KeySet
    recorded: bool = False
    replaced: frozenset[str] = frozenset()

    @classmethod
    def of_key(cls, key: VerifyingKey) -> TrustedKeys:
        """Return the chain that begins with a single public key."""
        key_set = KeySet.of_key(key)
        return cls(key_set.digest, key_set)


@dataclass(frozen=True, slots=True)
class Trust:
    """Outcome of the check of signatures.

    Attributes:
        roots: roots of the chains whose keys have signed the bundle; empty for a bundle that is used unsigned.
        key_sets: new key sets of recorded chains, in order. To be recorded before the serial is judged.
        signers: fingerprints of the trusted keys that have signed.
        warnings: sentences for the operator.
    """

    roots: tuple[Digest, ...] = ()
    key_sets: tuple[TrustedKeySet, ...] = ()
    signers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def root(self) -> Digest | None:
        """Root of the first chain whose keys have signed; None for a bundle that is used unsigned."""
        return self.roots[0] if self.roots else None

    def root_for(self, known: StreamState | None) -> Digest | None:
        """Return the root under which a stream goes on: its own if that chain has signed this bundle too."""
        return known.root if known is not None and known.root in self.roots else self.root

    def after_resets(self, known: StreamState | None) -> StreamState | None:
        """Return the state of a stream as it is once :attr:`key_sets` are recorded. For a run that records nothing."""
        for key_set in self.key_sets:
            if known is not None and known.root == key_set.root:
                serial = key_set.resets.get(known.stream, known.serial)
                if serial < known.serial:
                    known = replace(known, serial=serial, statement=None)
        return known


class SerialVerdict(Enum):
    """Place of a bundle in its stream, as seen by the importing side.

    Attributes:
        NEW: the first bundle of its stream, or the one after the last imported bundle.
        SAME: the last imported bundle once more.
        GAP: a later bundle. Bundles before it were not imported.
    """

    NEW = "new"
    SAME = "same"
    GAP = "gap"


def judge_signatures(
    envelope: Envelope, carried: Sequence[bytes], trusted: Sequence[TrustedKeys], *, unsigned: bool
) -> Trust:
    """Decide whether a bundle may be used.

    Args:
        envelope: envelope of the statement.
        carried: key sets in the bundle, in the order of their versions, each an envelope as JSON.
        trusted: the trusted chains. Of two with the same root, the one with the newer key set counts.
        unsigned: True to use the bundle also if no trusted key has signed it.

    Raises:
        BundleInvalid: the bundle carries something else as a key set, or too many of them.
        BundleUntrusted: too few trusted keys have signed the bundle, and ``unsigned`` is False.
    """
    if len(carried) > MOST_KEY_SETS:
        raise BundleInvalid(f"the bundle has more than {MOST_KEY_SETS} key sets")
    sets = [SignedKeySet.parse(content, f"key set {place + 1} of the bundle") for place, content in enumerate(carried)]
    roots: list[Digest] = []
    successors: list[TrustedKeySet] = []
    signers: set[str] = set()
    warnings: list[str] = []
    reasons: list[str] = []
    nearest = ""
    named = {each.key_id for each in envelope.signatures}
    for chain in _newest(trusted):
        newest, new, refused = _followed(chain.key_set, sets)
        warnings += refused
        if chain.recorded:
            successors += [
                TrustedKeySet(chain.root, each.key_set.version, each.to_bytes(), each.key_set.resets) for each in new
            ]
        signed = newest.signers(envelope)
        if len(signed) >= newest.threshold:
            roots.append(chain.root)
            signers.update(key.key_id for key in signed)
            continue
        if signed:
            nearest = f"{len(signed)} of the {newest.threshold} keys that key set {newest.version} needs have signed it"
        former = chain.replaced.union(chain.key_set.key_ids, *(each.key_set.key_ids for each in new))
        replaced = sorted(former.difference(newest.key_ids) & named)
        reasons += [f"key {key_id} was replaced, and key set {newest.version} counts now" for key_id in replaced]
    if roots:
        return Trust(tuple(roots), tuple(successors), tuple(sorted(signers)), tuple(warnings))
    message = "; ".join([_refusal(envelope, nearest, any_trusted=bool(trusted)), *warnings, *reasons])
    if unsigned:
        return Trust(warnings=(f"signatures are not checked: {message}",) if envelope.signatures else ())
    raise BundleUntrusted(f"{message}; {_fix(envelope, nearest)}")


def judge_place(
    head: BundleHead, trust: Trust, known: StreamState | None, *, allow_rollback: int | None = None
) -> SerialVerdict:
    """Decide whether a bundle whose signatures were judged may follow in its stream, as :func:`judge_serial` does."""
    root = trust.root_for(known)
    return judge_serial(head.statement, head.envelope.digest, known, root=root, allow_rollback=allow_rollback)


def judge_serial(
    statement: Statement,
    digest: Digest,
    known: StreamState | None,
    *,
    root: Digest | None,
    allow_rollback: int | None = None,
) -> SerialVerdict:
    """Decide whether a bundle may follow the last imported one of its stream.

    Args:
        statement: the statement of the bundle.
        digest: digest of the statement.
        known: state of the stream; None if no bundle of the stream was imported.
        root: root of the chain that signed the bundle; None for a bundle that is used unsigned.
        allow_rollback: serial of a bundle that the operator accepts in spite of the state of the stream.

    Raises:
        BundleUntrusted: the bundle is older than the last imported one, is another one than a bundle with the same
            serial, follows another one, or is not signed by the keys that signed the stream until now.
    """
    # What nobody has signed proves nothing about the stream, so the first signed bundle begins it anew.
    if known is None or (known.root is None and root is not None):
        return SerialVerdict.NEW
    stream, serial = statement.stream, statement.serial
    if digest == known.statement and root == known.root:
        return SerialVerdict.SAME
    if root is None and known.root is not None:
        raise BundleUntrusted(
            f"the bundles of stream {stream} were signed by the chain {known.root}, and this bundle by no trusted key; "
            "fix: have it signed with 'plugin-mirror bundle sign', or name its key with --key F.pub",
            stream=stream,
        )
    if allow_rollback == serial:
        return SerialVerdict.NEW
    fix = f"fix: if the sender confirms this bundle, accept it with --allow-rollback {serial}"
    if root != known.root:
        raise BundleUntrusted(
            f"the bundles of stream {stream} were signed by the chain {known.root}, and this bundle by another one; "
            f"{fix}",
            stream=stream,
        )
    if serial < known.serial:
        raise BundleUntrusted(
            f"bundle {serial} of stream {stream} is older than bundle {known.serial}, which was imported before; {fix}",
            stream=stream,
            serial=serial,
        )
    if serial == known.serial or (
        serial == known.serial + 1
        and None not in {statement.previous, known.statement}
        and statement.previous != known.statement
    ):
        raise BundleUntrusted(
            f"stream {stream} has forked: there are two bundles {known.serial}, and the other one was imported; {fix}",
            stream=stream,
            serial=serial,
        )
    follows = serial == known.serial + 1 or (statement.previous is not None and statement.previous == known.statement)
    return SerialVerdict.NEW if follows else SerialVerdict.GAP


def _newest(trusted: Iterable[TrustedKeys]) -> list[TrustedKeys]:
    """Return each chain once, with its newest key set, recorded chains first."""
    chains: dict[Digest, TrustedKeys] = {}
    for each in sorted(trusted, key=lambda chain: not chain.recorded):
        other = chains.get(each.root)
        if other is None or other.key_set.version < each.key_set.version:
            chains[each.root] = each if other is None else replace(each, recorded=other.recorded)
    return list(chains.values())


def _followed(newest: KeySet, sets: Sequence[SignedKeySet]) -> tuple[KeySet, list[SignedKeySet], list[str]]:
    """Return the newest key set that a chain reaches, the key sets on the way, and warnings about refused ones."""
    way: list[SignedKeySet] = []
    for each in sets:
        if each.key_set.previous != newest.digest:
            continue  # of another chain, or known already
        try:
            each.require_successor_of(newest)
        except BundleUntrusted as error:
            return newest, way, [str(error)]
        newest = each.key_set
        way.append(each)
    return newest, way, []


def _refusal(envelope: Envelope, nearest: str, *, any_trusted: bool) -> str:
    if not envelope.signatures:
        return "the bundle is not signed"
    if nearest:
        return f"too few trusted keys have signed the bundle: {nearest}"
    named = [quoted(each.key_id, 64) for each in envelope.signatures if each.key_id][:_MOST_NAMED]
    told = ", ".join(named) or "keys without a name"
    reason = "no trusted key has signed the bundle" if any_trusted else "no key is trusted here"
    return f"{reason} (it has signatures of {told})"


def _fix(envelope: Envelope, nearest: str) -> str:
    if not envelope.signatures:
        return "fix: have it signed with 'plugin-mirror bundle sign', or accept it with --unsigned"
    if nearest:
        return "fix: have it signed by another key of the set with 'plugin-mirror bundle sign FILE --key F'"
    return (
        "fix: name the public key of the sender with --key F.pub, or record it with 'plugin-mirror bundle trust F.pub'"
    )
