"""Which member of an index is for a platform (image-spec, image-index.md, "platform")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mirror.oci.descriptor import Descriptor


def architectures(members: Iterable[Descriptor]) -> tuple[str, ...]:
    """The architectures that members for Linux are for, each once, in their order."""
    return tuple(dict.fromkeys(architecture for member in members if (architecture := _architecture(member))))


def member_for(members: Iterable[Descriptor], architecture: str) -> Descriptor | None:
    """The member for Linux on an architecture; None where there is none.

    Of several variants it is the least one, which runs on every machine of the architecture: an engine does not say
    which variant it has.
    """
    fitting = [member for member in members if _architecture(member) == architecture]
    return min(fitting, key=lambda member: _variant(member.platform or {}), default=None)


def _architecture(member: Descriptor) -> str | None:
    """None where a member is for another system, or for none: attestations have ``unknown``."""
    platform = member.platform or {}
    architecture = platform.get("architecture")
    if platform.get("os", "linux") != "linux" or not isinstance(architecture, str) or architecture == "unknown":
        return None
    return architecture


def _variant(platform: Mapping[str, Any]) -> str:
    variant = platform.get("variant")
    if isinstance(variant, str) and variant:
        return variant
    return "v7" if platform.get("architecture") == "arm" else ""  # as containerd reads it
