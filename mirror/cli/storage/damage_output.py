"""List of content that was lost."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from mirror.cli.printing import ALERTS, counted

_MOST_SHOWN: Final = 20


def print_damaged(problems: Mapping[str, str], heading: str) -> None:
    """Print the problems of content by digest, the first ones of many, and what to do.

    Args:
        problems: sentences by digest.
        heading: sentence before them.
    """
    ALERTS.out(f"error: {counted(len(problems), 'blob')}: {heading}", highlight=False)
    for digest, problem in islice(sorted(problems.items()), _MOST_SHOWN):
        ALERTS.out(f"  {digest}: {problem}", highlight=False)
    if len(problems) > _MOST_SHOWN:
        ALERTS.out(f"  and {len(problems) - _MOST_SHOWN} more", highlight=False)
    ALERTS.out("fix: run 'plugin-mirror scrub', which heals content from where it came, or push it again")
