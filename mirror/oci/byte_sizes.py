"""Sizes in bytes as text for people. Pure."""

from __future__ import annotations


def shown_size(size_bytes: int) -> str:
    """Return a size for people, such as ``1.2 MiB`` for 1234567 bytes."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value, units = size_bytes / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.1f} {units[0]}"
