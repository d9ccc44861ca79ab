"""Docker Hub's quota headers ``ratelimit-limit`` and ``ratelimit-remaining``, with values such as ``100;w=21600``.

Docker Hub counts GET requests of manifests. HEAD requests are not counted, but their answers carry the headers too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTA = re.compile(r"\s*([0-9]{1,9})\s*(?:;\s*w\s*=\s*([0-9]{1,9})\s*)?")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A request quota and its remaining part.

    Attributes:
        limit: requests allowed per window.
        remaining: requests left in the current window.
        window_seconds: length of the window in seconds; None if the header does not give one.
    """

    limit: int
    remaining: int
    window_seconds: int | None = None


def parse(limit: str | None, remaining: str | None) -> RateLimit | None:
    """Parse both headers. Return None if one of them is absent or malformed."""
    whole, left = _QUOTA.fullmatch(limit or ""), _QUOTA.fullmatch(remaining or "")
    if whole is None or left is None or not int(whole[1]):
        return None
    window = whole[2] or left[2]
    # "remaining" is cut to the limit, so that an odd answer cannot claim more requests than the whole quota.
    return RateLimit(int(whole[1]), min(int(left[1]), int(whole[1])), int(window) if window else None)
