"""Selection of members of an index by their platforms (image-spec, image-index.md, "platform")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.errors import ConfigurationFault

#: Annotation of an attestation of BuildKit with the digest of the member that the attestation is about.
_SUBJECT: Final = "vnd.docker.reference.digest"
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
#: Variants that a missing variant means (containerd: platforms.Normalize).
_DEFAULT_VARIANTS: Final = {"amd64": "v1", "arm": "v7", "arm64": "v8"}
_OTHER_NAMES: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}


@dataclass(frozen=True, slots=True)
class ImagePlatform:
    """Platform of a member of an index.

    Attributes:
        os: operating system, such as ``linux``.
        architecture: architecture, such as ``arm64``.
        variant: variant of the architecture, such as ``v7``. Empty if none is given.
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> ImagePlatform:
        """Parse ``OS/ARCHITECTURE`` or ``OS/ARCHITECTURE/VARIANT``.

        Raises:
            ConfigurationFault: the text has another form.
        """
        parts = text.lower().split("/")
        if len(parts) not in {2, 3} or not all(map(_WORD.fullmatch, parts)):
            raise ConfigurationFault(
                f"{text[:80]!r} is not a platform; fix: write OS/ARCHITECTURE, such as linux/amd64 or linux/arm/v7"
            )
        os, architecture, *variant = parts
        return cls(os, _OTHER_NAMES.get(architecture, architecture), *variant)

    @classmethod
    def of(cls, member: Descriptor) -> ImagePlatform | None:
        """Return the platform of a member. None if the member names no platform, as attestations do not."""
        platform = member.platform or {}
        words = [platform.get("os", "linux"), platform.get("architecture"), platform.get("variant") or ""]
        if not all(isinstance(word, str) for word in words) or "unknown" in words[:2]:
            return None
        try:
            return cls.parse("/".join(word for word in words if word))
        except ConfigurationFault:
            return None

    def __str__(self) -> str:
        return "/".join(word for word in (self.os, self.architecture, self.variant) if word)


@dataclass(frozen=True, slots=True)
class PlatformSelection:
    """Selection of the members of indexes by platform.

    Attributes:
        platforms: the selected platforms. A platform without a variant selects all variants.
    """

    platforms: tuple[ImagePlatform, ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> PlatformSelection | None:
        """Parse platforms in the notation of the configuration. Return None without any, which selects everything.

        Raises:
            ConfigurationFault: a text is not a platform.
        """
        platforms = tuple(dict.fromkeys(map(ImagePlatform.parse, texts)))
        return cls(platforms) if platforms else None

    def takes(self, platform: ImagePlatform) -> bool:
        """Return True if a platform is selected."""
        default = _DEFAULT_VARIANTS.get(platform.architecture, "")
        return any(
            (each.os, each.architecture) == (platform.os, platform.architecture)
            and each.variant in {"", platform.variant or default}
            for each in self.platforms
        )

    def left_out(self, members: Iterable[Descriptor]) -> dict[Digest, ImagePlatform]:
        """Return the members that are not selected, with their platforms.

        Members without a platform are selected. An attestation shares the platform of the member that it is about.
        """
        platforms = member_platforms(members)
        taken = {digest for digest, platform in platforms if platform is None or self.takes(platform)}
        # One digest may stand for several platforms, of which one is selected.
        return {digest: platform for digest, platform in platforms if platform is not None and digest not in taken}

    def __str__(self) -> str:
        return ", ".join(map(str, self.platforms))


def member_platforms(members: Iterable[Descriptor]) -> list[tuple[Digest, ImagePlatform | None]]:
    """Return digest and platform of each member. An attestation has the platform of the member that it is about."""
    listed = list(members)
    own = {str(member.digest): platform for member in listed if (platform := ImagePlatform.of(member))}
    return [
        (member.digest, ImagePlatform.of(member) or own.get(member.annotations.get(_SUBJECT, ""))) for member in listed
    ]


def platform_texts(members: Iterable[Descriptor]) -> str:
    """Return the platforms of members for a message, each once, at most 20."""
    found = dict.fromkeys(str(platform) for _, platform in member_platforms(members) if platform)
    return ", ".join(list(found)[:20]) or "no platforms"


def is_attestation(member: Descriptor) -> bool:
    """Return True if a member is an attestation about another member, and not content for any platform."""
    return _SUBJECT in member.annotations


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
