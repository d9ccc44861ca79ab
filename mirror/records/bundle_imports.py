"""Records of imported bundles: the tags that a bundle brings, and notes that came with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from mirror.oci import Digest
from mirror.records.bundle_trust import StreamState
from mirror.records.derivations import Derivation
from mirror.records.sync_runs import BUNDLE_OWNER, MirroredTag

#: Size of the columns for the rule and the upstream of a mirrored tag.
_MOST_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class ComingTag:
    """Tag that an import moves.

    Attributes:
        row: the tag as the bundle brings it, with its owner.
        before: digest of the tag when the import was planned; None if the tag did not exist.
        origin: place where the sender had the tag from, such as ``registry-1.docker.io/contiv/v2plugin``; empty if
            unknown.
    """

    row: MirroredTag
    before: Digest | None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ImportChanges:
    """Everything that the end of an import writes, in one transaction.

    Attributes:
        state: state of the stream after the import.
        tags: tags to move.
        derivations: derivations of imported manifests.
        first_seen: time at which the sender first held an imported manifest.
    """

    state: StreamState
    tags: Sequence[ComingTag] = ()
    derivations: Mapping[Digest, Derivation] = field(default_factory=dict)
    first_seen: Mapping[Digest, datetime] = field(default_factory=dict)


class BundleImports(Protocol):
    """Port of the records that an import needs."""

    async def finish_import(
        self, changes: ImportChanges, judge: Callable[[StreamState | None], object]
    ) -> Sequence[MirroredTag]:
        """Write the end of an import.

        Args:
            changes: everything to write.
            judge: called within the transaction with the recorded state of the stream. An error that it raises is
                passed on, and nothing is changed.

        Returns:
            The tags that were not moved, because a client or a mirror rule moved them since the plan was made.

        Raises:
            ManifestUnknown: the manifest of a tag was deleted meanwhile. Nothing is changed.
            StorageFault: the catalog failed.
        """
        ...


def owner_of_stream(stream: str) -> str:
    """Return the name of a stream in the place of the rule and of the upstream of a tag that a bundle brought.

    A stream may have the name of an upstream, and a rule follows all tags that came from its upstream. No upstream has
    the returned name.
    """
    text = BUNDLE_OWNER + stream
    if len(text) <= _MOST_CHARACTERS:
        return text
    mark = Digest.of(text.encode()).hex[:12]
    return f"{text[: _MOST_CHARACTERS - 1 - len(mark)]}-{mark}"
