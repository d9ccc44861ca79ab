"""The reference registry (docker/distribution, Debian's docker-registry) as a real upstream."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.ports import free_port
from tests.harness.process import Service
from tests.harness.readiness import http_answers, tcp_accepts

PROGRAM = "docker-registry"


class DockerRegistry:
    """A docker-registry on a free port of 127.0.0.1, with a storage folder of its own and deletion allowed.

    As a context manager it runs inside the block; `stop()` ends it earlier and keeps the storage (`start()` serves it
    again on the same port); leaving the block removes everything. `descriptor_cache`: keep what is known of blobs in
    memory, as Debian's own configuration does. `more` is laid over its configuration, section by section: `auth`,
    `http.tls`, `middleware`.
    """

    def __init__(self, *, descriptor_cache: bool = False, more: Mapping[str, Any] | None = None) -> None:
        self.port = free_port()
        self._more = more or {}
        self._descriptor_cache = descriptor_cache
        self._stack = ExitStack()
        self._service: Service | None = None
        self._folder: Path | None = None

    @staticmethod
    def missing() -> str | None:
        """What must be installed first, or None."""
        if shutil.which(PROGRAM):
            return None
        return "docker-registry is not installed (Debian: apt-get install docker-registry)"

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as it is written in references."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or `https://…` where it has a certificate; without a slash at the end."""
        return f"{'https' if 'tls' in self._more.get('http', {}) else 'http'}://{self.host}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._service.pid if self._service else None

    @property
    def folder(self) -> Path:
        """Folder of configuration, log (`registry.log`) and `storage`."""
        if self._folder is None:
            raise RuntimeError("the registry is not open")
        return self._folder

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-")))
            self._service = Service(
                [PROGRAM, "serve", str(self._write_config())],
                log=self.folder / "registry.log",
                ready=tcp_accepts("127.0.0.1", self.port) if self._more else http_answers(f"{self.url}/v2/"),
            )
            stack.callback(self.stop)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Serve again after `stop()`."""
        if self._service is None:
            raise RuntimeError("the registry is not open")
        self._service.start()

    def stop(self) -> None:
        """End the server; connections to `url` are refused from now on."""
        if self._service is not None:
            self._service.stop()

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
