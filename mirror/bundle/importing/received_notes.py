"""Notes of the sender that came with a bundle, as values. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirror.bundle.bundle_errors import BundleInvalid
from mirror.bundle.format.statement import Notes
from mirror.oci import Digest, Repository
from mirror.oci.errors import ClientFault
from mirror.records.absent_content import AbsenceReason, AbsentContent
from mirror.records.derivations import Derivation


@dataclass(frozen=True, slots=True)
class ReceivedNotes:
    """Notes that came with a bundle. Implements :class:`mirror.records.absent_content.AbsentContents`.

    Attributes:
        absent: content that the sender lacked for a known reason, in all repositories.
        derivations: derivations of derived copies, by digest.
    """

    absent: tuple[AbsentContent, ...] = ()
    derivations: Mapping[Digest, Derivation] = field(default_factory=dict)

    @classmethod
    def parse(cls, notes: Notes) -> ReceivedNotes:
        """Return the notes of a statement. Raises BundleInvalid if they are malformed."""
        try:
            return cls(
                tuple(_absence(value) for value in notes.absent),
                {digest: Derivation.from_json(value) for digest, value in notes.derivations.items()},
            )
        except (ClientFault, ValueError) as error:
            raise BundleInvalid(f"the notes of the statement are invalid: {error}") from error

    async def record_absent(
        self, repository: Repository, manifest: Digest, contents: Collection[AbsentContent]
    ) -> None:
        """Do nothing, because a bundle is only read."""

    async def absent_content(
        self, repository: Repository, *, manifest: Digest | None = None, digest: Digest | None = None
    ) -> Sequence[AbsentContent]:
        return [each for each in self.absent if manifest in {None, each.manifest} and digest in {None, each.digest}]


def _absence(value: Mapping[str, Any]) -> AbsentContent:
    match value:
        case {"manifest": str(manifest), "digest": str(digest), "reason": str(reason), "detail": str(detail)}:
            return AbsentContent(Digest.parse(manifest), Digest.parse(digest), AbsenceReason(reason), detail)
    raise ValueError("absent content has no manifest, digest, reason or detail")
