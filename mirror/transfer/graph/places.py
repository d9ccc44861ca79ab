"""Repositories that a copy reads from and writes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mirror.oci import Digest, Repository
from mirror.plugin.rootfs.layer_facts import LayerFacts
from mirror.records.absent_content import AbsentContents
from mirror.registry.port import Reader, ReadWriter


@dataclass(frozen=True, slots=True)
class CopySource:
    """Repository of a registry to copy from.

    Attributes:
        registry: the registry.
        repository: the repository.
        absent: records of the content that the repository lacks. None if nobody keeps such records.
    """

    registry: Reader
    repository: Repository
    absent: AbsentContents | None = None


@dataclass(frozen=True, slots=True)
class CopyDestination:
    """Repository of a registry to copy to.

    Attributes:
        registry: the registry.
        repository: the repository.
        layer_written: called with the facts of a layer that this process wrote itself, so that the checks of the
            registry need not read the layer again. None if nobody keeps such facts.
        absent: records of the content that the repository lacks. None if nobody keeps such records: the copy of an
            index then fails if the source lacks a member.
    """

    registry: ReadWriter
    repository: Repository
    layer_written: Callable[[Digest, LayerFacts], None] | None = None
    absent: AbsentContents | None = None
