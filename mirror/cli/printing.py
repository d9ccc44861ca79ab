"""How results reach people and programs."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

#: Results. Progress and errors go to :data:`MESSAGES`, so that a pipe carries results only.
RESULTS = Console(highlight=False, soft_wrap=True)
MESSAGES = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print plain values as JSON, two spaces deep."""
    RESULTS.out(json.dumps(value, indent=2, ensure_ascii=False), highlight=False)


def size(size_bytes: int) -> str:
    """``1234567`` as ``1.2 MiB``."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value, units = size_bytes / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.1f} {units[0]}"
