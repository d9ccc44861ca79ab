"""Values of an export: what is asked for, and what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mirror.bundle.delta.delta_base import DeltaBase
from mirror.bundle.format.bundle_index import NamedManifest
from mirror.bundle.format.statement import NameOrigin
from mirror.bundle.trust.signing_keys import SigningKey
from mirror.oci import Digest, Repository, Tag
from mirror.records.absent_content import AbsentContents
from mirror.records.bundle_exports import BundleExports
from mirror.registry.port import ReadLister
from mirror.transfer.graph.content_choice import EVERYTHING, ContentChoice


@dataclass(frozen=True, slots=True)
class ExportSource:
    """Content to export under one name.

    Attributes:
        registry: registry that holds the content.
        repository: repository at the registry.
        target: tag or digest at the registry.
        name: repository in the bundle.
        tag: tag in the bundle; None to name the content by its digest.
        origin: source of the name, for the receiver; None if unknown.
        absent: records of the content that the repository lacks. None if nobody keeps such records.
        required: True to fail if the content cannot be exported; False to leave it out, and say so.
    """

    registry: ReadLister
    repository: Repository
    target: Tag | Digest
    name: Repository
    tag: Tag | None
    origin: NameOrigin | None = None
    absent: AbsentContents | None = None
    required: bool = True

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}" if self.tag else f"{self.name}@{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """Bundle to write.

    Attributes:
        output: the file. It appears complete, or not at all.
        sources: the content.
        stream: stream of the statement.
        serial: serial of the statement. None for the serial of the interrupted export that is continued, if no later
            bundle may have been written meanwhile, or else ``next_serial``.
        next_serial: serial of a new bundle. No bundle with this serial or a later one is known.
        created: time of creation, in UTC, whole seconds.
        previous: digest of the statement before this one in the stream; None for the first.
        keys: keys that sign the statement; empty for an unsigned bundle.
        key_sets: key sets by version, each an envelope as JSON.
        base: content that the receiver has; None for a full bundle.
        choice: choice of the members of indexes.
        exports: records of exports; None if nobody keeps such records.
        part_bytes: size of the parts to write in place of one file; None for one file.
        verify_written: True to read the file back from the medium. None to do so on removable media only.
    """

    output: Path
    sources: tuple[ExportSource, ...]
    stream: str
    next_serial: int
    created: datetime
    serial: int | None = None
    previous: Digest | None = None
    keys: Sequence[SigningKey] = ()
    key_sets: Mapping[int, bytes] = field(default_factory=dict)
    base: DeltaBase | None = None
    choice: ContentChoice = EVERYTHING
    exports: BundleExports | None = None
    part_bytes: int | None = None
    verify_written: bool | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """Result of an export.

    Attributes:
        output: the file.
        statement: digest of the statement.
        stream: stream of the statement.
        serial: serial of the statement.
        created: time of creation.
        size_bytes: size of the bundle.
        names: names in the bundle.
        blobs: number of blobs and manifests in the bundle.
        content_bytes: size of these blobs and manifests.
        left_out: sentences about names that were asked for and are not in the bundle.
        warnings: sentences about content beside the names, such as referrers, that is not in the bundle.
        continued_bytes: bytes that an interrupted export had written.
        is_verified: True if the file was read back from the medium.
    """

    output: Path
    statement: Digest
    stream: str
    serial: int
    created: datetime
    size_bytes: int
    names: tuple[NamedManifest, ...]
    blobs: int
    content_bytes: int
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    continued_bytes: int = 0
    is_verified: bool = False
