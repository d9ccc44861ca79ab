"""Results of an import. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mirror.bundle.importing.import_names import LocalName
from mirror.oci import Digest
from mirror.oci.errors import MirrorError
from mirror.records.sync_runs import TagOutcome


@dataclass(frozen=True, slots=True)
class ImportedName:
    """Result for one name of a bundle.

    Attributes:
        local: name in the bundle and at the receiver.
        outcome: ``copied``, ``unchanged``, ``skipped`` or ``failed``; ``planned`` for a name whose blobs have not all
            been read because a part of the bundle is missing.
        before: digest of the tag before the import; None if the tag did not exist, or for content without a tag.
        reason: reason why the name was skipped or failed; former source of a tag that the bundle took over.
        error: error that made the name fail.
        notes: sentences about absent content, and about a plugin that hosts do not get yet.
        difference: privileges that a moved plugin requests more (``+ …``) or no longer (``- …``).
    """

    local: LocalName
    outcome: TagOutcome
    before: Digest | None = None
    reason: str = ""
    error: MirrorError | None = None
    notes: tuple[str, ...] = ()
    difference: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Result of an import, or of its dry run.

    Attributes:
        stream: stream of the bundle.
        serial: serial of the bundle.
        names: results for all names, sorted.
        moved_bytes: bytes of blobs read from the bundle.
        warnings: sentences about the bundle as a whole.
    """

    stream: str
    serial: int
    names: tuple[ImportedName, ...]
    moved_bytes: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[TagOutcome, int]:
        """Number of names for each outcome."""
        return Counter(each.outcome for each in self.names)

    @property
    def errors(self) -> tuple[MirrorError, ...]:
        """Errors of the names that failed."""
        return tuple(each.error for each in self.names if each.error is not None)
