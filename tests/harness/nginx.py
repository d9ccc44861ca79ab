"""nginx on loopback: a static file server, or a reverse proxy that can limit the rate."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from tests.harness.command import SYSTEM_PATH
from tests.harness.process import Service
from tests.harness.readiness import tcp_accepts
from tests.harness.server import Server

PROGRAM = "nginx"


class Nginx(Server):
    """An nginx on a free port of 127.0.0.1, with sendfile, keep-alive and an access log.

    Create instances with `static` or `front`.
    """

    kind = "nginx"

    def __init__(
        self,
        location: str,
        *,
        workers: int,
        certificate: Path | None = None,
        address: str = "127.0.0.1",
        below: str = "",
    ) -> None:
        super().__init__(address=address)
        self._below = below
        self._certificate = certificate
        self._location = location
        self._workers = workers

    @classmethod
    def static(cls, folder: Path, *, workers: int = 2, address: str = "127.0.0.1") -> Self:
        """Serve the files of `folder` as `application/octet-stream`.

        Args:
            folder: Root folder of the files.
            workers: Number of worker processes.
            address: Loopback address to listen on.
        """
        directives = f'root "{folder.resolve()}"; types {{ }} default_type application/octet-stream;'
        return cls(directives, workers=workers, address=address)

    @classmethod
    def front(
        cls,
        url: str,
        *,
        limit_rate_bytes_per_second: int = 0,
        unlimited_bytes: int = 0,
        workers: int = 2,
        certificate: Path | None = None,
        directives: str = "",
        below: str = "",
        strips: bool = True,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Forward every request to `url` with the client's Host header. Bodies are not stored on disk.

        Args:
            url: Base URL of the server, `http://127.0.0.1:PORT`.
            limit_rate_bytes_per_second: Limit for each response. 0 means no limit.
            unlimited_bytes: First bytes of each response, which the limit does not apply to.
            workers: Number of worker processes.
            certificate: PEM file with a private key and its certificate chain. If given, nginx serves TLS.
            directives: Further directives of the location.
            below: Path below which requests are forwarded, such as `/registry`. Requests for other paths get 404.
            strips: True to take `below` from the path of the request.
            headers: Request headers to set, with nginx's variables.
        """
        set_headers = "".join(f' proxy_set_header {name} "{value}";' for name, value in headers.items())
        forwarding = (
            f"proxy_pass {url}{'/' if below and strips else ''};{set_headers}"
            " proxy_http_version 1.1; proxy_set_header Host $http_host;"
            ' proxy_set_header Connection ""; proxy_request_buffering off; proxy_max_temp_file_size 0;'
            f" client_max_body_size 0; limit_rate {limit_rate_bytes_per_second};"
            f" limit_rate_after {unlimited_bytes}; {directives}"
        )
        return cls(forwarding, workers=workers, certificate=certificate, below=below)

    @staticmethod
    def missing() -> str | None:
        """Return a sentence that names the missing package, or None if nginx is installed."""
        if shutil.which(PROGRAM, path=SYSTEM_PATH):
            return None
        return "nginx is not installed (Debian: apt-get install nginx)"

    @property
    def access_log(self) -> Path:
        """Access log with one line for each finished request, in nginx's `combined` format."""
        return self.folder / "access.log"

    def _made(self) -> Service:
        program = shutil.which(PROGRAM, path=SYSTEM_PATH) or PROGRAM
        return Service(
            # Without -e, nginx writes to the system's error log until it has read the configuration.
            [program, "-e", str(self.folder / "error.log"), "-c", str(self._write_config())],
            log=self.folder / "error.log",
            ready=tcp_accepts(self._address, self.port),
        )

    def _write_config(self) -> Path:
        temporary = " ".join(
            f'{kind}_temp_path "{self.folder}/{kind}";' for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
        )
        # A master that runs as root switches its workers to another user, who may not read a test's files.
        user = "user root;" if os.geteuid() == 0 else ""
        # Without the large keepalive_requests below, nginx would close the connections of load generators.
        path = self.folder / "nginx.conf"
        path.write_text(f"""\
{user}
daemon off;
worker_processes {self._workers};
pid "{self.folder}/nginx.pid";
events {{ worker_connections 4096; }}
http {{
    access_log "{self.access_log}";
    {temporary}
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 65;
    keepalive_requests 1000000000;
    {self._site()}
}}
""")
        return path

    def _site(self) -> str:
        """Return the server block."""
        # nginx before 1.23.4 has no TLS 1.3 by default. Debian's configuration adds it.
        tls = (
            f'ssl_certificate "{self._certificate}"; ssl_certificate_key "{self._certificate}";'
            " ssl_protocols TLSv1.2 TLSv1.3;"
        )
        return f"""\
server {{
        listen {self.host}{" ssl" if self._certificate else ""};
        {tls if self._certificate else ""}
        location {self._below}/ {{ {self._location} }}
    }}"""


class NginxSite(Nginx):
    """An nginx that serves a file of `/etc/nginx/conf.d`.

    Args:
        file: The file. It listens on `443`, and nowhere else.
        changes: Texts of the file that this machine has to replace, such as paths. Each is in the file once.
    """

    def __init__(self, file: Path, changes: Mapping[str, str]) -> None:
        super().__init__("", workers=2)
        self._text = file.read_text()
        for old, new in {"listen 443 ": f"listen {self.host} ", **changes}.items():
            if self._text.count(old) != 1:
                raise ValueError(f"{old!r} is {self._text.count(old)} times in {file}")
            self._text = self._text.replace(old, new)

    @property
    def url(self) -> str:
        """Base URL `https://127.0.0.1:PORT`, without a trailing slash."""
        return f"https://{self.host}"

    def _site(self) -> str:
        return self._text
