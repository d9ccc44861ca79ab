"""The section ``audit``: the record of who changed what."""

from __future__ import annotations

from datetime import timedelta

from pydantic import ByteSize, Field

from mirror.runtime.durations import parse_duration
from mirror.settings.section import Section
from mirror.settings.section_values import MOST_BYTES, Duration, FilePath


class AuditSettings(Section):
    """The audit: one line for each change and decision, chained and signed."""

    enabled: bool = Field(default=True, description="false: record nothing")
    path: FilePath | None = Field(None, description="folder of the files; omitted: the folder audit in the data folder")
    rotate: ByteSize = Field(
        ByteSize(64 * 1024 * 1024), ge=1024, le=MOST_BYTES, description="size at which a new file begins, such as 64MiB"
    )
    keep: Duration | None = Field(
        None, description="time for which full files are kept, such as 400d; omitted: for good"
    )

    @property
    def kept_for(self) -> timedelta | None:
        """Time for which full files are kept; None for good."""
        return None if self.keep is None else parse_duration(self.keep)
