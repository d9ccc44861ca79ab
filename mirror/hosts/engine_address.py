"""Address of a Docker Engine, from ``--socket`` or from the environment as the ``docker`` command reads it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from yarl import URL

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.system_errors import certificate_words, no_passphrase

#: Socket of an engine that was installed as root.
DEFAULT_SOCKET: Final = Path("/var/run/docker.sock")
_PORT: Final = 2375
_TLS_PORT: Final = 2376


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Address of an engine: a Unix socket, or a TCP port.

    Attributes:
        socket: path of the Unix socket; None for a TCP port.
        host: host of the TCP port; empty for a socket.
        port: TCP port; 0 for a socket.
        certificates: folder with ``ca.pem``, ``cert.pem`` and ``key.pem``; None to connect without TLS.
    """

    socket: Path | None
    host: str = ""
    port: int = 0
    certificates: Path | None = None

    @classmethod
    def find(cls, given: str | None, environment: Mapping[str, str]) -> EngineAddress:
        """Return the address that an option or the environment names. The default is :data:`DEFAULT_SOCKET`.

        Args:
            given: value of ``--socket``: a path, ``unix:///PATH`` or ``tcp://HOST[:PORT]``. None takes
                ``DOCKER_HOST``.
            environment: ``DOCKER_HOST``, ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH``, with the meaning that they
                have for ``docker``.

        Raises:
            ConfigurationFault: the address is of another kind, or invalid.
        """
        text = given or environment.get("DOCKER_HOST") or str(DEFAULT_SOCKET)
        scheme, separator, rest = text.partition("://")
        if not separator or scheme == "unix":
            path = rest if separator else text
            if not path or "\0" in path:
                raise ConfigurationFault(f"{text!r} names no socket; fix: write unix:///var/run/docker.sock")
            return cls(Path(path).expanduser())
        if scheme != "tcp":
            raise ConfigurationFault(
                f"{text!r}: an engine is reached at a Unix socket or over TCP; fix: use unix:///PATH or "
                "tcp://HOST:PORT. For ssh, forward the socket: ssh -L /tmp/engine.sock:/var/run/docker.sock HOST"
            )
        certificates = None
        if environment.get("DOCKER_TLS_VERIFY"):
            certificates = Path(environment.get("DOCKER_CERT_PATH") or "~/.docker").expanduser()
        try:
            url = URL(f"tcp://{rest}")
            host, port = url.host, url.explicit_port
        except ValueError:
            host, port = None, None
        if not host or rest.rstrip("/") not in {_joined(host, port), f"{host}:{port}"}:
            raise ConfigurationFault(f"{text!r} is not the address of an engine; fix: write tcp://HOST:PORT")
        return cls(None, host, port or (_PORT if certificates is None else _TLS_PORT), certificates)

    @property
    def is_socket(self) -> bool:
        """True if the engine is reached at a Unix socket, so that it usually runs on this host."""
        return self.socket is not None

    @property
    def base_url(self) -> URL:
        """URL of the API without a path. The host of a Unix socket is a placeholder."""
        if self.socket is not None:
            return URL("http://engine")
        return URL.build(scheme="http" if self.certificates is None else "https", host=self.host, port=self.port)

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context for the connection; None to connect without TLS. Blocks.

        Raises:
            ConfigurationFault: a file of the certificates is missing or unusable.
        """
        if self.certificates is None:
            return None
        folder = self.certificates
        try:
            context = ssl.create_default_context(cafile=folder / "ca.pem")
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem", password=no_passphrase)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationFault(
                f"ca.pem, cert.pem and key.pem in {folder} cannot be used: {certificate_words(error)}; "
                "fix: set DOCKER_CERT_PATH to the folder with the certificates of the engine"
            ) from error
        return context

    def __str__(self) -> str:
        return str(self.socket) if self.socket is not None else f"tcp://{_joined(self.host, self.port)}"


def _joined(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"
