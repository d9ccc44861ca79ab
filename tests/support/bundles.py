"""Bundles for tests, built in memory and without the code of export."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mirror.bundle.format.bundle_index import NamedManifest, write_index
from mirror.bundle.format.bundle_layout import BundleLayout
from mirror.bundle.format.envelope import Envelope, Signature
from mirror.bundle.format.member import (
    INDEX,
    OCI_LAYOUT,
    OCI_LAYOUT_CONTENT,
    REPORT,
    STATEMENT,
    Member,
    key_set_path,
)
from mirror.bundle.format.member_header import END
from mirror.bundle.format.statement import PAYLOAD_TYPE, Notes, Since, Statement
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.names import parse_reference
from tests.support.builders import plugin
from tests.support.plugins import CONFIG, LAYER

CREATED: Final = datetime(2026, 11, 29, 8, 0, 0, tzinfo=UTC)
#: Private keys for tests. The same in each run.
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"1" * 32)
OTHER_KEY: Final = Ed25519PrivateKey.from_private_bytes(b"2" * 32)


@dataclass(frozen=True)
class BuiltBundle:
    """A bundle in memory.

    Attributes:
        content: bytes of the tar.
        statement: its statement.
        envelope: the envelope of the statement.
        layout: the place of each member.
    """

    content: bytes = field(repr=False)
    statement: Statement
    envelope: Envelope
    layout: BundleLayout

    def with_content(self, path: str, content: bytes) -> bytes:
        """Return the tar with other bytes in one member, of the same size: a touched bundle."""
        (placed,) = (placed for placed in self.layout.members if placed.member.path == path)
        assert len(content) == placed.member.size_bytes
        return self.content[: placed.content_bytes] + content + self.content[placed.content_bytes + len(content) :]


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public key as PEM, as in a file ``F.pub``."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed(envelope: Envelope, *keys: Ed25519PrivateKey) -> Envelope:
    """Return the envelope with signatures by these keys."""
    for key in keys:
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        envelope = envelope.with_signature(Signature(Digest.of(raw).hex, key.sign(envelope.signed_bytes)))
    return envelope


def small_plugin(*layers: bytes, **config: Any) -> tuple[Manifest, list[bytes]]:
    """Return the manifest of a plugin and its blobs: config and layers. ``config`` adds members to the config."""
    written = json.dumps({**CONFIG, **config}).encode()
    blobs = list(layers) or [LAYER]
    return plugin(written, *blobs), [written, *blobs]


def build(
    names: Mapping[str, Manifest],
    contents: Iterable[bytes | Manifest | tuple[Digest, bytes]],
    *,
    keys: Sequence[Ed25519PrivateKey] = (KEY,),
    stream: str = "test",
    serial: int = 1,
    created: datetime = CREATED,
    previous: Digest | None = None,
    since: Since | None = None,
    notes: Notes | None = None,
    key_sets: Sequence[bytes] = (),
    report: bytes = b"",
    left_out: Collection[Digest] = (),
) -> BuiltBundle:
    """Return a bundle.

    Args:
        names: manifests by ``NAME:TAG`` or ``NAME@DIGEST``.
        contents: configs and layers, and manifests without a name, such as the members of an index. A digest that is
            not sha256 stands before its content.
        keys: keys that sign the statement; empty for an unsigned bundle.
        stream: stream of the statement.
        serial: serial of the statement.
        created: time of the statement.
        previous: digest of the statement before.
        since: state of the receiver, for a delta.
        notes: records of the sender.
        key_sets: key sets in the order of their versions, from version 1.
        report: the report.
        left_out: digests that the bundle does not hold, as in a delta.
    """
    contents = list(contents)
    manifests = [*names.values(), *(each for each in contents if isinstance(each, Manifest))]
    configs = {each.config.digest for each in manifests if each.config is not None}
    held = {each.digest: each.content for each in manifests}
    small, large = dict(held), dict[Digest, bytes]()
    for each in contents:
        if not isinstance(each, Manifest):
            digest, content = (Digest.of(each), each) if isinstance(each, bytes) else each
            (small if digest in configs else large)[digest] = content
    blobs = {
        digest: content
        for group in (small, large)
        for digest, content in sorted(group.items(), key=lambda item: str(item[0]))
        if digest not in left_out
    }
    documents = {
        OCI_LAYOUT: OCI_LAYOUT_CONTENT,
        INDEX: write_index(named(name, manifest) for name, manifest in names.items()),
        **{key_set_path(version): content for version, content in enumerate(key_sets, 1)},
        REPORT: report,
    }
    members = [
        *(Member.of_content(path, content) for path, content in documents.items()),
        *(Member.of_blob(digest, len(content)) for digest, content in blobs.items()),
    ]
    statement = Statement(stream, serial, created, tuple(members), previous, since, notes or Notes())
    unsigned = Envelope(PAYLOAD_TYPE, statement.to_bytes())
    envelope = signed(unsigned, *keys)
    documents[STATEMENT] = envelope.to_bytes(unsigned.padded_size_bytes)
    layout = BundleLayout.of(statement, documents[STATEMENT])
    parts = []
    for placed in layout.members:
        member = placed.member
        parts += [placed.header, blobs[member.digest] if member.is_blob else documents[member.path], placed.padding]
    content = b"".join([*parts, END])
    assert len(content) == layout.size_bytes
    return BuiltBundle(content, statement, envelope, layout)


def build_bundle(
    path: Path,
    names: Mapping[str, Manifest],
    contents: Iterable[bytes | Manifest | tuple[Digest, bytes]],
    **options: Any,
) -> BuiltBundle:
    """Write a bundle to a file. ``options`` are those of :func:`build`."""
    built = build(names, contents, **options)
    path.write_bytes(built.content)
    return built


def named(name: str, manifest: Manifest) -> NamedManifest:
    """Return the entry of the index for a manifest under ``NAME:TAG`` or ``NAME@DIGEST``."""
    repository, _, target = name.partition("@" if "@" in name else ":")
    descriptor = Descriptor(manifest.media_type, manifest.digest, len(manifest.content))
    reference: Tag | Digest = parse_reference(target)
    return NamedManifest(Repository.parse(repository), reference, descriptor)
