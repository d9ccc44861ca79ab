"""``User-Agent`` of Docker Engines: the one place where a request says for which platform it is (moby dockerversion).

``docker/20.10.24 go/go1.19.8 git-commit/5d6db84 kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/…)``: the
same from 1.13 to 29. Whoever talks to the engine chooses what stands in the parentheses, so reading ends there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Most characters that are read; engines write about 150.
MAX_USER_AGENT_LENGTH: Final = 512

_ENGINE: Final = "docker/"
_PRODUCT = re.compile(r"([A-Za-z0-9._-]{1,32})/([A-Za-z0-9._+~:-]{1,64})")
_WORD = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker Engine, as it says of itself.

    Attributes:
        version: such as ``20.10.24+dfsg1``; empty where what it says can be no version.
        architecture: as Go names it: ``amd64``, ``arm64``, ``arm`` (all of its variants) …; None where it is not said.
        os: ``linux`` or ``windows``; None where it is not said.
    """

    version: str
    architecture: str | None = None
    os: str | None = None


def parse(user_agent: str) -> Engine | None:
    """The engine that sent it; None for any other client. What is said twice counts as it is said first."""
    said: dict[str, str] = {}
    for word in user_agent[:MAX_USER_AGENT_LENGTH].partition("(")[0].split(" "):
        product = _PRODUCT.fullmatch(word)
        if product is None:
            if not said and not word.startswith(_ENGINE):
                return None  # it begins with something else than a product
            said.setdefault("docker", "")
            continue
        said.setdefault(product[1], product[2])
        if "docker" not in said:
            return None
    if "docker" not in said:
        return None
    return Engine(said["docker"], _word(said.get("arch")), _word(said.get("os")))


def _word(text: str | None) -> str | None:
    return text if text is not None and _WORD.fullmatch(text) else None
