"""Action of a mirror rule for tags that were deleted upstream."""

from __future__ import annotations

from enum import StrEnum


class OnUpstreamDelete(StrEnum):
    """Action for a local tag whose upstream tag was deleted."""

    KEEP = "keep"
    #: Delete the local tag too, unless it is pinned. Not done if the upstream has lost every tag (ADR 9).
    FOLLOW = "follow"
