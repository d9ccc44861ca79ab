"""HTTP clients on thin lines: they read or send steadily at a low rate."""

import hashlib
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.harness.command import SYSTEM_PATH

_STEPS_PER_SECOND = 4
_PATIENCE_SECONDS = 250.0
_UNVERIFIED = ssl.create_default_context()
_UNVERIFIED.check_hostname, _UNVERIFIED.verify_mode = False, ssl.CERT_NONE
#: Exit code of a curl that was ended by its own `--max-time`.
CURL_TIMED_OUT = 28


@dataclass(frozen=True)
class SlowLine:
    """A thin line for a while.

    Attributes:
        bytes_per_second: Rate of the line.
        seconds: Time for which the line is thin. A reader reads the rest at full speed.
        buffer_bytes: Size of the socket's buffer. 0: the kernel chooses.
    """

    bytes_per_second: int
    seconds: float
    buffer_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Number of bytes that pass the line while it is thin."""
        return int(self.bytes_per_second * self.seconds)

    def read(self, url: str) -> str:
        """GET a blob over this line, and return the `sha256:…` digest of the body.

        Raises:
            OSError: If the connection is reset.
            EOFError: If the connection ends before the body does.
        """
        with self._connect(url) as connection, connection.makefile("rb", buffering=0) as stream:
            parts = urlsplit(url)
            head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
            connection.sendall(head.encode())
            begun, left = time.monotonic(), _content_length(stream)
            digest, is_thin = hashlib.sha256(), True
            while left:
                if is_thin and time.monotonic() - begun >= self.seconds:
                    is_thin = False
                    # The rest would take minutes through a tiny buffer.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
                most = self.bytes_per_second // _STEPS_PER_SECOND if is_thin else 1024 * 1024
                piece = stream.read(min(left, most))
                if not piece:
                    raise EOFError(f"{left} bytes are missing")
                left -= len(piece)
                digest.update(piece)
                if is_thin:
                    time.sleep(1 / _STEPS_PER_SECOND)
        return f"sha256:{digest.hexdigest()}"

    def send(self, url: str, content: bytes) -> int:
        """PATCH content to an upload session over this line, and return the status of the answer.

        Raises:
            OSError: If the connection is reset.
        """
        with self._connect(url) as connection, connection.makefile("rb") as stream:
            parts = urlsplit(url)
            head = f"PATCH {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(content)}\r\n"
            connection.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode())
            step = self.bytes_per_second // _STEPS_PER_SECOND
            for start in range(0, len(content), step):
                connection.sendall(content[start : start + step])
                time.sleep(1 / _STEPS_PER_SECOND)
            return int(stream.readline().split()[1])

    def _connect(self, url: str) -> socket.socket:
        parts = urlsplit(url)
        connection = socket.socket()
        connection.settimeout(_PATIENCE_SECONDS)
        if self.buffer_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer_bytes)
        connection.connect((parts.hostname, parts.port))
        return _UNVERIFIED.wrap_socket(connection) if parts.scheme == "https" else connection

    def curl(self, *arguments: str) -> tuple[int, bytes]:
        """Run curl with `--limit-rate` until the end of the line, and return its exit code and output."""
        command = [
            "curl",
            "--silent",
            "--insecure",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            f"{self.seconds:g}",
        ]
        limit = ["--limit-rate", str(self.bytes_per_second)]
        done = subprocess.run(
            [*command, *limit, *arguments], capture_output=True, check=False, env={"PATH": SYSTEM_PATH}
        )
        return done.returncode, done.stdout


def _content_length(stream: socket.SocketIO) -> int:
    """Read the head of a 200 answer byte by byte, and return the length of its body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.read(1)
        if not byte:
            raise EOFError("the answer has no head")
        head += byte
    assert head.startswith(b"HTTP/1.1 200 "), head
    (length,) = (line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
    return int(length.partition(b":")[2])
