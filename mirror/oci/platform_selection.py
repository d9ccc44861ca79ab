"""Selection of the member of an index for a platform (image-spec, image-index.md, "platform")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mirror.oci.descriptor import Descriptor


def architectures(members: Iterable[Descriptor]) -> tuple[str, ...]:
    """Return the architectures of the members for Linux, each once, in the order of the members."""
    return tuple(dict.fromkeys(architecture for member in members if (architecture := _architecture(member))))


def member_for(members: Iterable[Descriptor], architecture: str) -> Descriptor | None:
    """Return the member for Linux on an architecture; None if no member fits.

    Of several variants, the lowest one is returned. It runs on every machine of the architecture, and an engine does
    not report its variant.
    """
    fitting = [member for member in members if _architecture(member) == architecture]
    return min(fitting, key=lambda member: _variant(member.platform or {}), default=None)


def _architecture(member: Descriptor) -> str | None:
    """Return the architecture of a member for Linux.

    None for members for other systems, and for attestations, which have the architecture ``unknown``.
    """
    platform = member.platform or {}
    architecture = platform.get("architecture")
    if platform.get("os", "linux") != "linux" or not isinstance(architecture, str) or architecture == "unknown":
        return None
    return architecture


def _variant(platform: Mapping[str, Any]) -> str:
    variant = platform.get("variant")
    if isinstance(variant, str) and variant:
        return variant
    return "v7" if platform.get("architecture") == "arm" else ""  # containerd's default for a missing variant
