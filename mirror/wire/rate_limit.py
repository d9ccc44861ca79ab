"""``ratelimit-limit`` and ``ratelimit-remaining``: how often one may still ask, as Docker Hub says it: ``100;w=21600``.

Docker Hub counts the GETs of manifests; it sends these fields with HEADs as well, which it does not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTA = re.compile(r"\s*([0-9]{1,9})\s*(?:;\s*w\s*=\s*([0-9]{1,9})\s*)?")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A quota and what is left of it.

    Attributes:
        limit: requests in a window.
        remaining: requests that are left.
        window_seconds: the window's length, where it is said.
    """

    limit: int
    remaining: int
    window_seconds: int | None = None


def parse(limit: str | None, remaining: str | None) -> RateLimit | None:
    """Read both fields; None where one of them is absent or makes no sense."""
    whole, left = _QUOTA.fullmatch(limit or ""), _QUOTA.fullmatch(remaining or "")
    if whole is None or left is None or not int(whole[1]):
        return None
    window = whole[2] or left[2]
    return RateLimit(int(whole[1]), min(int(left[1]), int(whole[1])), int(window) if window else None)
