"""Platform that a plugin runs on. No field of the config names it: only the programs, and often the tag, do.

Only the first bytes of a program are read, with code of our own. Libraries for ELF need a whole file to seek in, have
many kinds of errors, and have no limits for malformed files (ADR 14).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mirror.oci.errors import NameInvalid

#: Bytes of a program that :func:`platform_from_elf` needs.
ELF_HEAD_BYTES: Final = 20

_PLATFORM: Final = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/v[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Platform:
    """Operating system and architecture, in Go's names (GOOS, GOARCH).

    Attributes:
        os: operating system, such as ``linux``.
        architecture: architecture, such as ``amd64``, ``arm64``, ``arm``.
        variant: variant of ``arm``, such as ``v7``; empty if unknown, and for other architectures.
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Parse ``linux/arm/v7``. Other names of an architecture, such as ``linux/aarch64``, are replaced by Go's.

        Raises:
            NameInvalid: the text is outside the grammar ``OS/ARCHITECTURE[/VARIANT]``.
        """
        if _PLATFORM.fullmatch(text) is None:
            raise NameInvalid(f"{text[:60]!r} is not a platform; fix: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT")
        os, architecture, *variant = text.split("/")
        known, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
        return cls(os, known, (variant[0] if variant else implied) if known == "arm" else "")

    def covers(self, other: Platform) -> bool:
        """Return True if the other platform is the same. A missing variant on either side matches any variant."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (not self.variant or not other.variant or self.variant == other.variant)

    def __str__(self) -> str:
        """Return ``OS/ARCHITECTURE`` or ``OS/ARCHITECTURE/VARIANT``."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class TagPlatform:
    """Platform that a tag names.

    Attributes:
        platform: the platform.
        used: the part of the tag that names the platform, as written.
    """

    platform: Platform
    used: str


# Names of architectures in tags. Architecture and variant are those of containerd (platforms/database.go).
_ARCHITECTURES: Final = {
    "amd64": ("amd64", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "x64": ("amd64", ""),
    "arm64": ("arm64", ""),
    "arm64v8": ("arm64", ""),
    "aarch64": ("arm64", ""),
    "arm": ("arm", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "386": ("386", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "ppc64": ("ppc64", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
    "loong64": ("loong64", ""),
    "loongarch64": ("loong64", ""),
    "mips": ("mips", ""),
    "mipsle": ("mipsle", ""),
    "mips64": ("mips64", ""),
    "mips64le": ("mips64le", ""),
}
_SYSTEMS: Final = ("linux", "windows", "darwin", "freebsd")

# A name next to a letter or digit is part of another word. "386" in 1.386.0 and "v7" in arm-v7.1 belong to versions.
_NAMES: Final = "|".join(re.escape(name) for name in sorted(_ARCHITECTURES, key=len, reverse=True) if name != "386")
_ARCHITECTURE: Final = re.compile(
    rf"(?<![a-z0-9])(?:arm(?:32)?[-_]?(?P<variant>v[5-8])[lh]?(?!\.[0-9])|(?P<name>{_NAMES})|(?<!\.)(?P<digits>386)(?!\.))"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_SYSTEM: Final = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(_SYSTEMS)})(?![a-z0-9])", re.IGNORECASE)


def platform_from_tag(tag: str) -> TagPlatform | None:
    """Return the platform that a tag names, such as ``3.6.0-arm64`` or ``arm-v7``. The default system is Linux.

    Returns:
        None if the tag names no architecture, or more than one platform.
    """
    found = list(_ARCHITECTURE.finditer(tag))
    platforms = {_architecture(match) for match in found}
    if len(platforms) != 1:
        return None
    systems = {match[0].lower() for match in _SYSTEM.finditer(tag)}
    if len(systems) > 1:
        return None
    architecture, variant = platforms.pop()
    return TagPlatform(Platform(systems.pop() if systems else "linux", architecture, variant), found[0][0])


def _architecture(match: re.Match[str]) -> tuple[str, str]:
    """Return architecture and variant of a match."""
    variant = match["variant"]
    if variant is None:
        return _ARCHITECTURES[(match["name"] or match["digits"]).lower()]
    # Some tags say armv8 for arm64.
    return ("arm64", "") if variant.lower() == "v8" else ("arm", variant.lower())


# Go's architectures by e_machine (gABI, chapter 4), class in bits, and True for little-endian.
_MACHINES: Final[dict[tuple[int, int, bool], str]] = {
    (3, 32, True): "386",
    (62, 64, True): "amd64",
    (40, 32, True): "arm",
    (40, 32, False): "armbe",
    (183, 64, True): "arm64",
    (183, 64, False): "arm64be",
    (8, 32, False): "mips",
    (8, 32, True): "mipsle",
    (8, 64, False): "mips64",
    (8, 64, True): "mips64le",
    (20, 32, False): "ppc",
    (21, 64, False): "ppc64",
    (21, 64, True): "ppc64le",
    (22, 32, False): "s390",
    (22, 64, False): "s390x",
    (243, 32, True): "riscv",
    (243, 64, True): "riscv64",
    (258, 64, True): "loong64",
}
_SYSTEM_BY_ABI: Final = {2: "netbsd", 6: "solaris", 9: "freebsd", 12: "openbsd"}


def platform_from_elf(head: bytes) -> Platform | None:
    """Return the platform of a program. ELF does not tell the variant of ``arm``.

    Args:
        head: leading bytes of the program, at least :data:`ELF_HEAD_BYTES`.

    Returns:
        None if the file is not ELF, or if Go has no name for its machine.
    """
    if len(head) < ELF_HEAD_BYTES or not head.startswith(b"\x7fELF"):
        return None
    bits, order, abi = {1: 32, 2: 64}.get(head[4]), {1: "little", 2: "big"}.get(head[5]), head[7]
    if bits is None or order is None:
        return None
    machine = head[18] | head[19] << 8 if order == "little" else head[18] << 8 | head[19]
    architecture = _MACHINES.get((machine, bits, order == "little"))
    return None if architecture is None else Platform(_SYSTEM_BY_ABI.get(abi, "linux"), architecture)
