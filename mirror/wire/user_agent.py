"""``User-Agent`` of Docker Engines, the only part of a request that names the engine's platform (moby dockerversion).

The header reads ``docker/20.10.24 go/go1.19.8 git-commit/5d6db84 kernel/6.1.0 os/linux arch/amd64
UpstreamClient(Docker-Client/…)`` in engines 1.13 to 29. Parsing ends at the parenthesis, because the text inside is
chosen by the client of the engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Most characters read. Engines send about 150.
MAX_USER_AGENT_LENGTH: Final = 512

_ENGINE: Final = "docker/"
_PRODUCT = re.compile(r"([A-Za-z0-9._-]{1,32})/([A-Za-z0-9._+~:-]{1,64})")
_WORD = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker Engine, described by its ``User-Agent``.

    Attributes:
        version: the version, such as ``20.10.24+dfsg1``; empty if the header has no valid version.
        architecture: the architecture in Go's spelling: ``amd64``, ``arm64``, ``arm`` for all ARM variants, and others;
            None if absent.
        os: ``linux`` or ``windows``; None if absent.
    """

    version: str
    architecture: str | None = None
    os: str | None = None


def parse(user_agent: str) -> Engine | None:
    """Parse the header. Return None for any client other than a Docker Engine.

    If a product occurs more than once, its first value counts.
    """
    said: dict[str, str] = {}
    for word in user_agent[:MAX_USER_AGENT_LENGTH].partition("(")[0].split(" "):
        product = _PRODUCT.fullmatch(word)
        if product is None:
            if not said and not word.startswith(_ENGINE):
                return None  # the header does not begin with a product
            # An engine whose version cannot be read must still count as an engine, of an unknown version.
            said.setdefault("docker", "")
            continue
        said.setdefault(product[1], product[2])
        if "docker" not in said:  # engines name "docker" first, so this is another client
            return None
    if "docker" not in said:
        return None
    return Engine(said["docker"], _word(said.get("arch")), _word(said.get("os")))


def _word(text: str | None) -> str | None:
    return text if text is not None and _WORD.fullmatch(text) else None
