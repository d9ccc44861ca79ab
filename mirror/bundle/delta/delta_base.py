"""The content that a delta leaves out, because its receiver has it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.format.statement import Since, Statement
from mirror.oci import Digest


@dataclass(frozen=True, slots=True)
class DeltaBase:
    """Content that the receiver of a delta has.

    Attributes:
        since: name of this state in the statement.
        digests: digests of the blobs and manifests that the receiver has. A delta leaves them out.
        names: digest of each name that the receiver has, by ``NAME:TAG`` or ``NAME@DIGEST``.
    """

    since: Since
    digests: Set[Digest]
    names: Mapping[str, Digest]

    @classmethod
    def from_receipt(cls, receipt: Receipt) -> DeltaBase:
        """Return the state that a receipt describes."""
        return cls(Since(receipt=receipt.digest), receipt.digests, receipt.names)

    @classmethod
    def from_exports(cls, serial: int, exports: Iterable[tuple[Statement, Iterable[NamedManifest]]]) -> DeltaBase:
        """Return the state of a receiver that has imported all bundles of a stream up to a serial.

        Args:
            serial: the serial.
            exports: statement and names of each of these bundles, in the order of their serials.
        """
        digests: set[Digest] = set()
        names: dict[str, Digest] = {}
        for statement, named in exports:
            digests |= {member.digest for member in statement.members if member.is_blob}
            names |= {str(one): one.descriptor.digest for one in named}
        return cls(Since(serial=serial), digests, names)

    def unsure_of(self, later: Iterable[NamedManifest]) -> DeltaBase:
        """Return the state without names that the receiver may have in another form by now.

        A receiver may import a bundle after it wrote its receipt. A name that went forth and back again would then stay
        where that bundle put it.

        Args:
            later: names in bundles that were made for the receiver after this state.
        """
        moved = {str(named) for named in later if self.names.get(str(named)) != named.descriptor.digest}
        return replace(self, names={name: digest for name, digest in self.names.items() if name not in moved})

    def has_name(self, named: NamedManifest, content: Iterable[Digest]) -> bool:
        """Return True if the receiver has a name with all its content, so that a delta leaves the name out.

        Args:
            named: the name.
            content: digests of the manifest and of everything below it that a full bundle would carry. The receiver may
                have an index without some of its members, and gets these only if the name comes again.
        """
        return self.names.get(str(named)) == named.descriptor.digest and all(
            digest in self.digests for digest in content
        )
