"""The platform that a plugin runs on. No field of its config says it: the programs in its layer do, and often its tag.

Only the first bytes of a program are read, by hand: libraries for ELF want a whole file to seek in, and have errors of
their own for each way in which it may be broken.
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
    """An operating system and architecture, in Go's names (GOOS, GOARCH).

    Attributes:
        os: such as ``linux``.
        architecture: such as ``amd64``, ``arm64``, ``arm``.
        variant: such as ``v7``, of ``arm`` only; empty where it is not known, or says nothing.
    """

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/arm/v7``; other names of the same, as ``linux/aarch64``, are brought to Go's.

        Raises:
            NameInvalid: it is outside the grammar ``OS/ARCHITECTURE[/VARIANT]``.
        """
        if _PLATFORM.fullmatch(text) is None:
            raise NameInvalid(f"{text[:60]!r} is not a platform: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT")
        os, architecture, *variant = text.split("/")
        known, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
        return cls(os, known, (variant[0] if variant else implied) if known == "arm" else "")

    def covers(self, other: Platform) -> bool:
        """Tell whether this is the other, as far as both are known: without a variant, any is meant."""
        same = (self.os, self.architecture) == (other.os, other.architecture)
        return same and (not self.variant or not other.variant or self.variant == other.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class TagPlatform:
    """The platform that a tag names.

    Attributes:
        platform: what it says.
        used: the part of the tag that says so, as it is written there.
    """

    platform: Platform
    used: str


# How architectures are called in tags, and what containerd takes the names for (platforms/database.go).
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

# A name that letters or digits touch is part of another word. 1.386.0 is a version, and so is v7.1 in arm-v7.1.
_NAMES: Final = "|".join(re.escape(name) for name in sorted(_ARCHITECTURES, key=len, reverse=True) if name != "386")
_ARCHITECTURE: Final = re.compile(
    rf"(?<![a-z0-9])(?:arm(?:32)?[-_]?(?P<variant>v[5-8])[lh]?(?!\.[0-9])|(?P<name>{_NAMES})|(?<!\.)(?P<digits>386)(?!\.))"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_SYSTEM: Final = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(_SYSTEMS)})(?![a-z0-9])", re.IGNORECASE)


def platform_from_tag(tag: str) -> TagPlatform | None:
    """Read the platform that a tag names: ``3.6.0-arm64``, ``arm-v7``. Without a system, Linux is meant.

    Returns:
        None where it says nothing, or names two architectures.
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
    variant = match["variant"]
    if variant is None:
        return _ARCHITECTURES[(match["name"] or match["digits"]).lower()]
    # armv8 is what some call arm64, and engines for it answer to that.
    return ("arm64", "") if variant.lower() == "v8" else ("arm", variant.lower())


# e_machine (gABI, chapter 4): by class in bits, and whether the least byte comes first.
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
    """Read the platform of a program, which says no variant of ``arm``.

    Args:
        head: its first :data:`ELF_HEAD_BYTES` or more.

    Returns:
        None where it is no ELF file, or one for a machine that Go has no name for.
    """
    if len(head) < ELF_HEAD_BYTES or not head.startswith(b"\x7fELF"):
        return None
    bits, order, abi = {1: 32, 2: 64}.get(head[4]), {1: "little", 2: "big"}.get(head[5]), head[7]
    if bits is None or order is None:
        return None
    machine = head[18] | head[19] << 8 if order == "little" else head[18] << 8 | head[19]
    architecture = _MACHINES.get((machine, bits, order == "little"))
    return None if architecture is None else Platform(_SYSTEM_BY_ABI.get(abi, "linux"), architecture)
