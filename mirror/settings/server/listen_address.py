"""``HOST:PORT``, the address to listen on."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

#: Without the signs of a URL, of a login, and of texts in two lines.
_HOST: Final = re.compile(r"[^/@\s]+")
_PORT: Final = re.compile("[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address and port to listen on. With port 0 the operating system chooses a free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """Parse ``HOST:PORT`` or ``[IPV6]:PORT``.

        Raises:
            ValueError: the text has another form, or the port is greater than 65535.
        """
        host, colon, port = text.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not colon or not _HOST.fullmatch(bare) or not _PORT.fullmatch(port) or int(port) > 65535:
            raise ValueError(
                f"{text!r} is not HOST:PORT; fix: write it like 127.0.0.1:5000, 0.0.0.0:5000 or [::1]:5000"
            )
        # The system would take 22 for the address 0.0.0.22.
        if bare.isdigit():
            raise ValueError(f"{text!r} has a number in place of the host; fix: write it like 0.0.0.0:{int(port)}")
        # Without brackets the last group of an IPv6 address would be read as the port.
        if ":" in bare and bare == host:
            raise ValueError(f"{text!r}: an IPv6 address needs brackets; fix: write it as in [::1]:5000")
        return cls(bare, int(port))

    @property
    def is_loopback(self) -> bool:
        """True if only programs on this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name may resolve to any address, so it is not trusted

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
