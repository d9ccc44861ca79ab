"""Plan of a bundle: its statement and the place of each byte, before anything is written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mirror.bundle.format.bundle_index import NamedManifest, write_index
from mirror.bundle.format.bundle_layout import BundleLayout
from mirror.bundle.format.envelope import Envelope
from mirror.bundle.format.member import (
    INDEX,
    OCI_LAYOUT,
    OCI_LAYOUT_CONTENT,
    REPORT,
    STATEMENT,
    Member,
    key_set_path,
)
from mirror.bundle.format.statement import PAYLOAD_TYPE, Statement
from mirror.bundle.trust.signing_keys import SigningKey, sign
from mirror.oci import Digest


@dataclass(frozen=True)
class ExportPlan:
    """Bundle that can be written.

    Attributes:
        statement: the statement.
        envelope: the signed envelope of the statement.
        layout: the place of each member.
        documents: content of the members before the first blob, by path.
    """

    statement: Statement
    envelope: Envelope
    layout: BundleLayout
    documents: Mapping[str, bytes]

    @classmethod
    def of(cls, statement: Statement, documents: Mapping[str, bytes], keys: Iterable[SigningKey]) -> ExportPlan:
        """Return the plan of a bundle.

        Args:
            statement: the statement.
            documents: content of the members before the first blob, except for the statement.
            keys: keys that sign the statement.

        Raises:
            BundleInvalid: the bundle has too many members.
        """
        unsigned = Envelope(PAYLOAD_TYPE, statement.to_bytes())
        signed = unsigned
        for key in keys:
            signed = sign(signed, key)
        content = signed.to_bytes(unsigned.padded_size_bytes)
        return cls(statement, signed, BundleLayout.of(statement, content), {**documents, STATEMENT: content})

    @cached_property
    def head(self) -> bytes:
        """All bytes before the first blob."""
        return b"".join(
            placed.header + self.documents[placed.member.path] + placed.padding for placed in self.layout.documents()
        )

    @cached_property
    def places(self) -> Digest:
        """Digest of the names, sizes and offsets of all blobs. Bundles with the same one have the same bytes there."""
        lines = (f"{placed.member.path} {placed.start_bytes}\n" for placed in self.layout.blobs())
        return Digest.of(f"{self.layout.size_bytes}\n{''.join(lines)}".encode())


def plan_documents(names: Iterable[NamedManifest], key_sets: Mapping[int, bytes], report: bytes) -> dict[str, bytes]:
    """Return the members before the first blob, except for the statement, in order.

    Args:
        names: names in the bundle.
        key_sets: key sets by version.
        report: the report.
    """
    return {
        OCI_LAYOUT: OCI_LAYOUT_CONTENT,
        INDEX: write_index(names),
        **{key_set_path(version): content for version, content in sorted(key_sets.items())},
        REPORT: report,
    }


def plan_members(
    documents: Mapping[str, bytes], early: Mapping[Digest, int], layers: Mapping[Digest, int]
) -> tuple[Member, ...]:
    """Return the members of a bundle in order, except for the statement.

    Args:
        documents: content of the members before the first blob.
        early: sizes of manifests and configs.
        layers: sizes of the other blobs.
    """
    first = [Member.of_content(path, content) for path, content in documents.items()]
    blobs = [
        Member.of_blob(digest, size_bytes)
        for group in (early, layers)
        for digest, size_bytes in sorted(group.items(), key=lambda item: str(item[0]))
    ]
    return (*first, *blobs)
