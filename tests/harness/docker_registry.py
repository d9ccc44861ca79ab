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
    """A docker-registry on a free port of 127.0.0.1, with a storage folder of its own and deletion allowed.

    `folder` has its configuration, log (`registry.log`) and `storage`. `descriptor_cache`: keep what is known of blobs
    in memory, as Debian's own configuration does. `more` is laid over its configuration, section by section: `auth`,
    `http.tls`, `middleware`.
    """

    kind = "registry"

    def __init__(self, *, descriptor_cache: bool = False, more: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._more = more or {}
        self._descriptor_cache = descriptor_cache

    @staticmethod
    def missing() -> str | None:
        """What must be installed first, or None."""
        if shutil.which(PROGRAM):
            return None
        return "docker-registry is not installed (Debian: apt-get install docker-registry)"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or `https://…` where it has a certificate; without a slash at the end."""
        return f"{'https' if 'tls' in self._more.get('http', {}) else 'http'}://{self.host}"

    def _made(self) -> Service:
        return Service(
            [PROGRAM, "serve", str(self._write_config())],
            log=self.folder / "registry.log",
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
        path.write_text(json.dumps(config, indent=2))  # JSON is YAML
        return path
