"""Sets of keys that sign bundles together, and the step from one set to the next. Pure.

A key set is a document in a DSSE envelope. The next version is valid if enough keys of both versions have signed it
(TUF, "update the root role"). A single public key is the key set of version 1 that holds this key alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mirror.bundle.bundle_errors import BundleInvalid, BundleUntrusted
from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.statement import MOST_SERIAL, is_stream
from mirror.bundle.trust.signing_keys import PUBLIC_KEY_BYTES, VerifyingKey
from mirror.oci import Digest
from mirror.oci.errors import ClientFault
from mirror.oci.manifest import parse_json_object
from mirror.plugin.build.assembly import canonical_json

KEY_SET_TYPE: Final = "application/vnd.docker-plugin-mirror.keys.v1+json"
#: Largest file with a key set, and largest number of key sets in a bundle. They are read before anything is trusted.
MOST_KEY_SET_BYTES: Final = 256 * 1024
MOST_KEY_SETS: Final = 256
MOST_VERSION: Final = 999_999_999
_MOST_KEYS: Final = 16
_MOST_RESETS: Final = 256
#: Signatures without a key id that are tried. Each is tried with each key, and reads the whole document once more.
_MOST_WITHOUT_ID: Final = 4


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys that sign bundles together.

    Attributes:
        version: number in the chain of key sets, from 1.
        threshold: number of keys that must have signed a bundle.
        keys: the keys, sorted, each once.
        previous: digest of the key set with the version before; None for version 1.
        resets: serials by stream. A site that learns this key set goes on after this serial, also if it has imported
            bundles of the former keys with higher serials.
    """

    version: int
    threshold: int
    keys: tuple[VerifyingKey, ...]
    previous: Digest | None = None
    resets: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_key(cls, key: VerifyingKey) -> KeySet:
        """Return the key set that holds one key."""
        return cls(1, 1, (key,))

    @classmethod
    def of_keys(
        cls,
        keys: Iterable[VerifyingKey],
        threshold: int,
        after: KeySet | None = None,
        resets: Mapping[str, int] | None = None,
    ) -> KeySet:
        """Return a new key set.

        Args:
            keys: the keys.
            threshold: number of keys that must have signed a bundle.
            after: the key set that the new one replaces; None for the first of a chain.
            resets: see :attr:`resets`.

        Raises:
            BundleInvalid: the number of keys or the threshold is out of range, or a stream is invalid.
        """
        version, previous = (1, None) if after is None else (after.version + 1, after.digest)
        return _checked(cls(version, threshold, tuple(sorted(set(keys))), previous, resets or {}))

    @property
    def envelope(self) -> Envelope:
        """The key set in an envelope without signatures. The same key set gives the same bytes."""
        value = {
            "version": self.version,
            "threshold": self.threshold,
            "keys": [key.raw.hex() for key in self.keys],
            "previous": self.previous and str(self.previous),
            "resets": dict(sorted(self.resets.items())),
        }
        return Envelope(KEY_SET_TYPE, canonical_json(value, "key set"))

    @property
    def digest(self) -> Digest:
        """Digest of the document, the same with any signatures."""
        return self.envelope.digest

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Fingerprints of the keys."""
        return tuple(key.key_id for key in self.keys)

    @property
    def is_single_key(self) -> bool:
        """True for the key set that is a single public key."""
        return self.version == 1 and len(self.keys) == 1 and not self.resets

    @property
    def demand(self) -> str:
        """Phrase that says which keys must sign a bundle."""
        if len(self.keys) == 1:
            return "its key must sign a bundle"
        return f"{self.threshold} of {len(self.keys)} keys must sign a bundle"

    @property
    def fingerprint(self) -> str:
        """Fingerprint that people compare: that of a single public key, or the digest of the set, in hexadecimal."""
        return self.keys[0].key_id if self.is_single_key else self.digest.hex

    def signers(self, envelope: Envelope) -> tuple[VerifyingKey, ...]:
        """Return the keys of the set that have signed a document, each once."""
        signed = envelope.signed_bytes
        without_id = [each.value for each in envelope.signatures if not each.key_id][:_MOST_WITHOUT_ID]
        return tuple(
            key
            for key in self.keys
            if any(
                key.verifies(value, signed)
                # The key id only selects the signatures to try.
                for value in (*(each.value for each in envelope.signatures if each.key_id == key.key_id), *without_id)
            )
        )

    @classmethod
    def parse(cls, envelope: Envelope, what: str) -> KeySet:
        """Return the key set in an envelope. The signatures are not judged.

        Args:
            envelope: the envelope.
            what: name of the document in messages.

        Raises:
            BundleInvalid: the document is not a key set.
        """
        if envelope.payload_type != KEY_SET_TYPE:
            raise BundleInvalid(f"{what} is not a key set")
        try:
            found = _checked(_parse(parse_json_object(envelope.payload, what)))
        except (ClientFault, BundleInvalid, ValueError) as error:
            raise BundleInvalid(f"{what} is not a key set: {error}") from error
        # One key set has one digest, so a copy in another form cannot begin a second chain.
        if found.envelope.payload != envelope.payload:
            raise BundleInvalid(f"{what} is not a key set in the form that plugin-mirror writes")
        return found


@dataclass(frozen=True, slots=True)
class SignedKeySet:
    """A key set with its signatures.

    Attributes:
        key_set: the key set.
        envelope: the envelope that it came in.
    """

    key_set: KeySet
    envelope: Envelope

    @classmethod
    def parse(cls, content: bytes, what: str) -> SignedKeySet:
        """Return the key set in a file. Raises BundleInvalid if the bytes are not a key set."""
        if len(content) > MOST_KEY_SET_BYTES:
            raise BundleInvalid(f"{what} is larger than {MOST_KEY_SET_BYTES} bytes")
        envelope = Envelope.parse(content, what)
        return cls(KeySet.parse(envelope, what), envelope)

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return self.envelope.to_bytes()

    def missing_signatures(self, former: KeySet | None) -> tuple[str, ...]:
        """Return a sentence for each key set of which too few keys have signed this one.

        Args:
            former: the key set that this one replaces; None for the first of a chain. A key set of version 1 with one
                key needs no signature.
        """
        own = () if self.key_set.is_single_key else (self.key_set,)
        return tuple(
            f"key set {self.key_set.version} has {found} of the {demanding.threshold} signatures by keys of "
            f"key set {demanding.version} that it needs"
            for demanding in (*own, *(() if former is None else (former,)))
            if (found := len(demanding.signers(self.envelope))) < demanding.threshold
        )

    def require_own_signatures(self) -> None:
        """Check that enough keys of the set have signed it.

        Raises:
            BundleUntrusted: too few keys have signed. A key set of version 1 with one key needs no signature.
        """
        self._require_signatures(None)

    def require_successor_of(self, former: KeySet) -> None:
        """Check that the key set may replace another one.

        Raises:
            BundleUntrusted: the key set is not the next one after ``former``, or too few keys of ``former`` or of the
                new set have signed it.
        """
        new = self.key_set
        if (new.version, new.previous) != (former.version + 1, former.digest):
            raise BundleUntrusted(f"key set {new.version} does not follow key set {former.version} of this chain")
        self._require_signatures(former)

    def _require_signatures(self, former: KeySet | None) -> None:
        if missing := self.missing_signatures(former):
            raise BundleUntrusted(
                f"{'; '.join(missing)}; fix: have it signed with 'plugin-mirror bundle sign SET.json --key F'"
            )


def require_chain(sets: Sequence[SignedKeySet]) -> None:
    """Check key sets that a bundle is to carry: each must be what a receiver who knows the one before can follow.

    Args:
        sets: the key sets in the order of their versions.

    Raises:
        BundleInvalid: there are more key sets than a bundle may have.
        BundleUntrusted: a key set does not follow the one before, or too few keys have signed it.
    """
    if len(sets) > MOST_KEY_SETS:
        raise BundleInvalid(f"a bundle has at most {MOST_KEY_SETS} key sets; fix: leave out the oldest ones")
    former: SignedKeySet | None = None
    for each in sets:
        if former is None:
            each.require_own_signatures()
        else:
            each.require_successor_of(former.key_set)
        former = each


def _parse(value: Mapping[str, Any]) -> KeySet:
    keys = value.get("keys")
    previous, resets = value.get("previous"), value.get("resets")
    if not isinstance(keys, list) or not isinstance(resets, dict):
        raise BundleInvalid("it has no list of keys and no resets")
    if len(keys) > _MOST_KEYS:
        raise BundleInvalid(f"it has more than {_MOST_KEYS} keys")
    return KeySet(
        _number(value.get("version"), MOST_VERSION, "version"),
        _number(value.get("threshold"), _MOST_KEYS, "threshold"),
        tuple(_key(each) for each in keys),
        None if previous is None else Digest.parse(str(previous)),
        {stream: _number(serial, MOST_SERIAL, "serial") for stream, serial in resets.items()},
    )


def _key(value: object) -> VerifyingKey:
    raw = bytes.fromhex(value) if isinstance(value, str) else b""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise BundleInvalid("it has a key that is not 32 bytes in hexadecimal")
    return VerifyingKey(raw)


def _number(value: object, most: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BundleInvalid(f"it has no valid {what}")
    return value


def _checked(key_set: KeySet) -> KeySet:
    keys = key_set.keys
    if not 1 <= len(keys) <= _MOST_KEYS or list(keys) != sorted(set(keys)):
        raise BundleInvalid(f"a key set has 1 to {_MOST_KEYS} keys, each once")
    if not 1 <= key_set.threshold <= len(keys):
        raise BundleInvalid(f"the threshold of a key set with {len(keys)} keys is 1 to {len(keys)}")
    if not 1 <= key_set.version <= MOST_VERSION or (key_set.version == 1) is not (key_set.previous is None):
        raise BundleInvalid("a key set of version 1 follows none, and every other one names the one before it")
    if len(key_set.resets) > _MOST_RESETS or not all(is_stream(stream) for stream in key_set.resets):
        raise BundleInvalid("a key set resets at most 256 streams, by their names")
    return replace(key_set, resets=dict(key_set.resets))
