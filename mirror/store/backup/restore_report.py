"""Report of a restore."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror.store.backup.backup_document import BackupDocument


@dataclass(slots=True)
class RestoreReport:
    """Report of a restore.

    Attributes:
        document: the document of the backup; None until it was read.
        restored: number of blobs that were written.
        restored_bytes: their size.
        present: number of blobs that an interrupted restore had written.
        damaged: problems of blobs that the backup names and does not have as they were, by digest.
    """

    document: BackupDocument | None = None
    restored: int = 0
    restored_bytes: int = 0
    present: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
