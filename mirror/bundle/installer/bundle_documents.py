"""Reading of a bundle: its statement, its names, and its verified content.

The statement lists every member with its size, so all offsets are computed and no tar header is parsed.
"""

import base64
import hashlib
import json
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from mirror.bundle.installer.bundle_bytes import BundleBytes
from mirror.bundle.installer.ed25519_check import is_signed_by
from mirror.bundle.installer.installer_fault import InstallerFault

_BLOCK_BYTES = 512
_LARGE_BYTES = 8**11
_LAYOUT, _LAYOUT_CONTENT = "oci-layout", b'{"imageLayoutVersion":"1.0.0"}'
_INDEX, _STATEMENT = "index.json", "plugin-mirror/statement.json"
_MOST_DOCUMENT_BYTES = 64 * 1024 * 1024
_MOST_VALUES = 1500000  # parsed values take many times the memory of their text
_MOST_SIZE_BYTES = 2**50
_MOST_SIGNATURES = 64
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_PREDICATE_TYPE = "urn:docker-plugin-mirror:bundle:1"
_REF_NAME = "org.opencontainers.image.ref.name"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_OTHER_PATH = re.compile(r"oci-layout|index\.json|plugin-mirror/(report|keys/[1-9][0-9]{0,8})\.json")

_Placed = NamedTuple("_Placed", [("header", bytes), ("start_bytes", int), ("size_bytes", int), ("digest", str)])


class BundleDocuments:
    """The documents of a bundle, verified against its statement.

    Args:
        source: the bytes of the bundle.
        keys: public keys by their names in messages.
        threshold: number of these keys that must have signed the statement; 0 for no check.

    Attributes:
        stream: stream of the statement.
        serial: serial of the statement.
        created: time of the statement, as text.
        names: descriptors of manifests by ``NAME:TAG`` or ``NAME@DIGEST``.

    Raises:
        InstallerFault: the file is not a bundle, differs from its statement, or too few of the keys have signed it.
    """

    def __init__(self, source: BundleBytes, keys: Mapping[str, bytes], threshold: int) -> None:
        self._source = source
        layout, next_bytes = self._document(0, _LAYOUT, _BLOCK_BYTES)
        if layout != _LAYOUT_CONTENT:
            raise InstallerFault("{} is not a bundle".format(source.name))
        index, next_bytes = self._document(next_bytes, _INDEX, _MOST_DOCUMENT_BYTES)
        content, next_bytes = self._document(next_bytes, _STATEMENT, _MOST_DOCUMENT_BYTES)
        # Of the envelope, only the payload is read on, after its signatures were checked.
        payload = _payload_in(content, keys, threshold)
        predicate = _predicate_in(payload)
        self.stream, self.serial = str(predicate.get("stream")), predicate.get("serial")
        self.created = str(predicate.get("created"))
        self._is_delta = predicate.get("since") is not None
        self._members = self._placed(_list(predicate, "members"), len(content))
        for path, found in ((_LAYOUT, layout), (_INDEX, index)):
            if path not in self._members or digest_of(found) != self._members[path].digest:
                raise InstallerFault("{}: {} differs from the statement".format(source.name, path))
        self.names = _names_in(index)

    def blob(self, digest: str, most_bytes: int) -> bytes:
        """Return a verified blob or manifest.

        Raises:
            InstallerFault: the bundle lacks the blob, the blob is larger than ``most_bytes``, or has another digest.
        """
        placed = self._blob(digest)
        if placed.size_bytes > most_bytes:
            raise InstallerFault("{} is larger than {} bytes".format(digest, most_bytes))
        return b"".join(self.chunks(digest))

    def blob_size_bytes(self, digest: str) -> int:
        """Return the size of a blob. Raises InstallerFault if the bundle lacks the blob."""
        return self._blob(digest).size_bytes

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Iterate over a blob. The content may be used only after the iteration has ended without an error.

        Raises:
            InstallerFault: the bundle lacks the blob, or the blob has another digest.
        """
        placed = self._blob(digest)
        header_bytes = placed.start_bytes - len(placed.header)
        if self._source.read(header_bytes, len(placed.header)) != placed.header:
            raise InstallerFault("the bundle is damaged at {}".format(self._source.place(header_bytes)))
        algorithm, _, expected = placed.digest.partition(":")
        hashed = hashlib.new(algorithm)
        for chunk in self._source.chunks(placed.start_bytes, placed.size_bytes):
            hashed.update(chunk)
            yield chunk
        if hashed.hexdigest() != expected:
            raise InstallerFault(
                "the bundle is damaged: {} at {} has another digest; fix: copy the bundle again".format(
                    digest, self._source.place(placed.start_bytes)
                )
            )

    def _blob(self, digest: str) -> _Placed:
        placed = self._members.get("blobs/" + digest.replace(":", "/"))
        if placed is None:
            reason = "it is a delta, and leaves out what its receiver has" if self._is_delta else "it is incomplete"
            raise InstallerFault("the bundle lacks {}: {}; fix: use a full bundle".format(digest, reason))
        return placed

    def _document(self, start_bytes: int, path: str, most_bytes: int) -> Tuple[bytes, int]:
        """Return a document whose size is known from its header alone, and the offset after the document."""
        header = self._source.read(start_bytes, _BLOCK_BYTES)
        digits = header[124:135]
        size_bytes = int(digits, 8) if re.match(rb"[0-7]{11}\Z", digits) else -1
        if not 0 <= size_bytes <= most_bytes or header != member_header(path, size_bytes):
            raise InstallerFault("{} is not a bundle: {} is not where it should be".format(self._source.name, path))
        content_bytes = start_bytes + _BLOCK_BYTES
        return self._source.read(content_bytes, size_bytes), content_bytes + _padded(size_bytes)

    def _placed(self, listed: List[Any], statement_bytes: int) -> Dict[str, _Placed]:
        """Return the place of each member by its path."""
        found: Dict[str, _Placed] = {}
        next_bytes = 0
        for item in listed:
            path, size_bytes, digest = _member_in(item)
            if path in found:
                raise InstallerFault("the statement lists {} twice".format(path))
            header = member_header(path, size_bytes)
            next_bytes += len(header)
            found[path] = _Placed(header, next_bytes, size_bytes, digest)
            next_bytes += _padded(size_bytes)
            if path == _INDEX:
                next_bytes += _BLOCK_BYTES + _padded(statement_bytes)
        if next_bytes + 2 * _BLOCK_BYTES != self._source.size_bytes:
            raise InstallerFault(
                "{} has {} bytes, and its statement gives it {}; fix: copy the bundle again".format(
                    self._source.name, self._source.size_bytes, next_bytes + 2 * _BLOCK_BYTES
                )
            )
        return found


def member_header(path: str, size_bytes: int) -> bytes:
    """Return the tar header of a member."""
    records = b""
    if len(path) > 100:
        records += _pax_record("path", path)
    if size_bytes >= _LARGE_BYTES:
        records += _pax_record("size", str(size_bytes))
        size_bytes = 0
    extended = b""
    if records:
        extended = _block("pax", len(records), b"x") + records.ljust(_padded(len(records)), b"\0")
    return extended + _block(path[:100], size_bytes, b"0")


def digest_of(content: bytes) -> str:
    """Return the digest of a document."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def json_in(content: bytes, what: str) -> Any:
    """Return a JSON document in which no object has a member twice.

    Raises:
        InstallerFault: the bytes are not JSON of this kind, or have more values than a bundle may have.
    """
    # Counted before they are parsed: most documents are read before any signature is checked.
    if sum(map(content.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise InstallerFault("{} has more than {} values".format(what, _MOST_VALUES))
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InstallerFault("{} is not JSON: {}".format(what, error)) from error


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    names: Set[str] = {name for name, _ in pairs}
    if len(names) < len(pairs):
        raise ValueError("an object has a member twice")
    return dict(pairs)


def _block(name: str, size_bytes: int, kind: bytes) -> bytes:
    fields = (
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,
        b"%011o\0%011o\0" % (size_bytes, 0),
        b" " * 8,
        kind,
        bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax_record(key: str, value: str) -> bytes:
    rest = len(" {}={}\n".format(key, value))
    length = rest + len(str(rest))
    if len(str(length)) + rest != length:
        length += 1
    return "{} {}={}\n".format(length, key, value).encode("ascii")


def _padded(size_bytes: int) -> int:
    return size_bytes + -size_bytes % _BLOCK_BYTES


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(str(value).replace("-", "+").replace("_", "/"), validate=True)
    except ValueError as error:
        raise InstallerFault("the statement has a field that is not base64: {}".format(error)) from error


def _object(value: Any, what: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise InstallerFault("{} is not an object".format(what))
    return value


def _list(value: Dict[str, Any], key: str) -> List[Any]:
    found = value.get(key)
    if not isinstance(found, list):
        raise InstallerFault("the bundle has no list of {}".format(key))
    return found


def _payload_in(content: bytes, keys: Mapping[str, bytes], threshold: int) -> bytes:
    """Return the payload of an envelope, which enough keys have signed.

    Raises:
        InstallerFault: the bytes are not an envelope, or too few keys have signed it.
    """
    envelope = _object(json_in(content, "the statement"), "the statement")
    if envelope.get("payloadType") != _PAYLOAD_TYPE:
        raise InstallerFault("the statement has an unknown type; fix: use a later installer")
    payload = _decoded(envelope.get("payload"))
    signatures = [_decoded(_object(each, "a signature").get("sig")) for each in _list(envelope, "signatures")]
    kind = _PAYLOAD_TYPE.encode("ascii")
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    # Two files may have the same key, which counts once.
    signers = [
        key
        for key in set(keys.values())
        if threshold and any(is_signed_by(key, signed, each) for each in signatures[:_MOST_SIGNATURES])
    ]
    if len(signers) < threshold:
        told = "{} of these keys have signed it, {} must, and it has {} signatures"
        counts = told.format(len(signers), threshold, len(signatures))
        raise InstallerFault("the bundle is not signed with {}: {}".format(" or ".join(keys), counts))
    return payload


def _predicate_in(payload: bytes) -> Dict[str, Any]:
    statement = _object(json_in(payload, "the statement"), "the statement")
    predicate = _object(statement.get("predicate"), "the predicate of the statement")
    if statement.get("predicateType") != _PREDICATE_TYPE or predicate.get("format") != 1:
        raise InstallerFault("the bundle has a format that this installer does not know; fix: use a later installer")
    return predicate


def _member_in(item: Any) -> Tuple[str, int, str]:
    """Return path, size and digest of a member in the statement."""
    if isinstance(item, list) and len(item) in {2, 3} and isinstance(item[0], str) and type(item[1]) is int:
        path, size_bytes = item[0], item[1]
        digest: Optional[str] = None
        if len(item) == 2 and path.startswith("blobs/"):
            digest = path[len("blobs/") :].replace("/", ":", 1)
        elif len(item) == 3 and _OTHER_PATH.fullmatch(path):
            digest = item[2]
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and 0 <= size_bytes <= _MOST_SIZE_BYTES:
            return path, size_bytes, digest
    raise InstallerFault("the statement has a member that no bundle may have")


def _names_in(index: bytes) -> Dict[str, Dict[str, Any]]:
    """Return the descriptors in ``index.json`` by their names."""
    found: Dict[str, Dict[str, Any]] = {}
    for item in _list(_object(json_in(index, _INDEX), _INDEX), "manifests"):
        descriptor = _object(item, "a manifest in index.json")
        name = _object(descriptor.get("annotations"), "annotations").get(_REF_NAME)
        if not isinstance(name, str) or name in found or not _DIGEST.fullmatch(str(descriptor.get("digest"))):
            raise InstallerFault("index.json has a manifest without a name of its own")
        found[name] = descriptor
    return found
