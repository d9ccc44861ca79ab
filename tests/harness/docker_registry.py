"""The reference registry (docker/distribution, Debian's docker-registry) as a real upstream."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harness.process import Service
from tests.harness.readiness import http_answers, tcp_accepts
from tests.harness.server import Server

PROGRAM = "docker-registry"


class DockerRegistry(Server):
    """A docker-registry on a free port of 127.0.0.1 with its own storage folder. Deletion is enabled.

    `folder` contains its configuration, its log (`registry.log`) and its content (`storage`).

    Args:
        descriptor_cache: True to cache blob descriptors in memory, as Debian's default configuration does.
        more: Further configuration by section, such as `auth`, `http.tls` and `middleware`. The keys of a section are
            merged into the section of the default configuration.
    """

    kind = "registry"

    def __init__(self, *, descriptor_cache: bool = False, more: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._more = more or {}
        self._descriptor_cache = descriptor_cache

    @staticmethod
    def missing() -> str | None:
        """Return a sentence that names the missing package, or None if docker-registry is installed."""
        if shutil.which(PROGRAM):
            return None
        return "docker-registry is not installed (Debian: apt-get install docker-registry)"

    @property
    def url(self) -> str:
        """Base URL `http://127.0.0.1:PORT`, or `https://…` if TLS is configured, without a trailing slash."""
        return f"{'https' if 'tls' in self._more.get('http', {}) else 'http'}://{self.host}"

    @property
    def requests(self) -> int:
        """Number of reads so far, according to the access log."""
        log = (self.folder / "registry.log").read_bytes()
        return sum(log.count(b'] "%s /v2/' % method) for method in (b"GET", b"HEAD"))

    def _made(self) -> Service:
        return Service(
            [PROGRAM, "serve", str(self._write_config())],
            log=self.folder / "registry.log",
            # With `more`, the registry may have a TLS certificate that http_answers does not trust.
            ready=tcp_accepts("127.0.0.1", self.port) if self._more else http_answers(f"{self.url}/v2/"),
        )

    def _write_config(self) -> Path:
        config: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "storage")},
                "delete": {"enabled": True},
                "maintenance": {"uploadpurging": {"enabled": False}},
                **({"cache": {"blobdescriptor": "inmemory"}} if self._descriptor_cache else {}),
            },
            "http": {"addr": self.host},
        }
        for section, content in self._more.items():
            config[section] = {**config.get(section, {}), **content}
        path = self.folder / "config.yml"
        path.write_text(json.dumps(config, indent=2))  # docker-registry reads YAML, and JSON is valid YAML
        return path
