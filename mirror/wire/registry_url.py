"""The URL of a registry, as people write it in a configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault

#: Hosts that mean Docker Hub. The first one is its registry.
DOCKER_HUB_HOSTS: Final = ("registry-1.docker.io", "docker.io", "index.docker.io")
_SCHEMES: Final = frozenset({"https", "http"})
# A path is joined to other paths as text, so a path that another program could read differently is refused.
_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*")
_NO_HOST: Final = re.compile(r"[?#\\\s\x00-\x20\x7f]")
_FIX: Final = "fix: write https://HOST or https://HOST:PORT, followed by /PATH if the registry is below a path"


@dataclass(frozen=True, slots=True)
class RegistryUrl:
    """The URL of a registry.

    Attributes:
        scheme: ``https`` or ``http``.
        authority: ``HOST[:PORT]``.
        path: path below which the registry answers, such as ``/repository/docker``. It has no slash at its end, and is
            empty if the registry is at the root of its host.
    """

    scheme: str
    authority: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> RegistryUrl:
        """Parse a URL. A slash at its end is dropped.

        Raises:
            ConfigurationFault: the text is not an HTTP URL, has a user, a query or a fragment, or ends with ``/v2``.
        """
        host = text.partition("://")[2].partition("/")[0]
        if "@" in host:  # the text may contain a password, so it is not shown
            raise ConfigurationFault("the URL contains a user; fix: remove USER:PASSWORD@, and set credentials instead")
        try:
            parts = urlsplit(text)
            known = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            known = False
        if not known or _NO_HOST.search(host) is not None:
            raise ConfigurationFault(f"{text!r} is not a registry's URL; {_FIX}")
        if "?" in text or "#" in text or _PATH.fullmatch(path := parts.path.rstrip("/")) is None:
            raise ConfigurationFault(f"{text!r} has a query, a fragment or an invalid path; {_FIX}")
        url = cls(parts.scheme, parts.netloc, path)
        if url.is_docker_hub and path:
            raise ConfigurationFault(f"{text!r} is not Docker Hub's registry; fix: write https://{DOCKER_HUB_HOSTS[0]}")
        if path.endswith("/v2"):
            shorter = replace(url, path=path.removesuffix("/v2"))
            raise ConfigurationFault(f"{text!r} ends with /v2, which the mirror adds itself; fix: write {shorter}")
        return url

    @property
    def is_docker_hub(self) -> bool:
        """True if the host is one of Docker Hub."""
        return self.authority.lower().removesuffix(":443") in DOCKER_HUB_HOSTS

    @property
    def origin(self) -> str:
        """Scheme, host and port. The names of Docker Hub become the host of its registry."""
        return f"{self.scheme}://{DOCKER_HUB_HOSTS[0] if self.is_docker_hub else self.authority}"

    @property
    def place(self) -> str:
        """``HOST[:PORT][/PATH]``, as docker and podman name a registry in a login."""
        return self.origin.partition("://")[2] + self.path

    def is_at(self, host: str) -> bool:
        """Return True if the registry is at the root of ``HOST[:PORT]``, as a reference writes it."""
        if host.lower() in DOCKER_HUB_HOSTS:
            return self.is_docker_hub
        return not self.path and self.authority == host

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def registry_host(reference: Reference) -> str:
    """Return the host of the registry of a reference. A name without a host is one of Docker Hub."""
    if reference.host is None or reference.host in DOCKER_HUB_HOSTS:
        return DOCKER_HUB_HOSTS[0]
    return reference.host
