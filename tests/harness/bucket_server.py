"""SeaweedFS as a real S3 server."""

import json
import sysconfig
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from mirror.store.bucket.request_signing import RequestKey, signed_headers
from tests.harness.ports import free_port
from tests.harness.process import Service
from tests.harness.readiness import http_answers
from tests.harness.server import Server

PROGRAM = Path(sysconfig.get_path("scripts")) / "weed"
ACCESS_KEY_ID = "mirror"
SECRET_KEY = "not-a-secret-of-anybody"
#: One bucket for all tests, which use other prefixes: the server sets up many files for each.
BUCKET = "plugins"


class BucketServer(Server):
    """SeaweedFS with its S3 gateway on a free port of 127.0.0.1. Its content is lost with its folder."""

    kind = "bucket"

    def __init__(self) -> None:
        super().__init__()
        self._has_bucket = False

    @staticmethod
    def missing() -> str | None:
        """Return a sentence that names the missing package, or None if SeaweedFS is installed."""
        return None if PROGRAM.exists() else "SeaweedFS is not installed (pip install -e .[dev])"

    def _made(self) -> Service:
        login = {"accessKey": ACCESS_KEY_ID, "secretKey": SECRET_KEY}
        identity = {"name": "mirror", "credentials": [login], "actions": ["Admin"]}
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        (self.folder / "data").mkdir(exist_ok=True)
        ports = {name: free_port() for name in ("master", "volume", "filer")}
        s3 = {"port": self.port, "port.iceberg": 0, "port.lance": 0, "config": config, "autoCreateBucket": "false"}
        master = {"telemetry": "false", "volumeSizeLimitMB": 64, "electionTimeout": "1s", "heartbeatInterval": "100ms"}
        arguments = [
            *(
                "server",
                "-s3",
                f"-dir={self.folder / 'data'}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-volume.max=200",
            ),
            *(f"-s3.{name}={value}" for name, value in s3.items()),
            *(f"-master.{name}={value}" for name, value in master.items()),
            *(f"-{name}.port={port}" for name, port in ports.items()),
            *(f"-{name}.port.grpc={free_port()}" for name in (*ports, "s3")),
        ]
        return Service(
            [str(PROGRAM), *arguments],
            log=self.folder / "weed.log",
            ready=http_answers(f"{self.url}/healthz"),
            folder=self.folder,
            stop_timeout_seconds=2,  # it waits for connections that clients keep
        )

    def start(self) -> None:
        """Start the server, with its bucket."""
        super().start()
        if not self._has_bucket:
            self.request("PUT", f"/{BUCKET}")
            self._has_bucket = True

    def request(self, method: str, target: str, body: bytes = b"") -> bytes:
        """Send a signed request, and return the body of the answer."""
        login = RequestKey(ACCESS_KEY_ID, SECRET_KEY)
        url = f"{self.url}{target}"
        headers = signed_headers(method, url, login, region="us-east-1", at=datetime.now(UTC), body=body)
        request = urllib.request.Request(url, method=method, headers=headers, data=body or None)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            content: bytes = answer.read()
            return content
