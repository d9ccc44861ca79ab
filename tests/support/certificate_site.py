"""A server that knows clients by their certificates, over TLS on the loopback, as a serving process builds it."""

from __future__ import annotations

import asyncio
import io
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from mirror.access.passwords import hashed
from mirror.access.user_accounts import create_token
from mirror.app import access_control
from mirror.app.configuration.serving_series import allocate_shared_metrics
from mirror.app.worker import Worker, build_service
from mirror.records.users import User
from mirror.runtime.logs import LogLines
from mirror.server.http_server import Listener, listen, serving
from mirror.server.tls.server_certificates import ServerTls
from mirror.settings import Settings, load
from mirror.store.registry import Store
from tests.support.certificates import OneContext
from tests.support.client_certificates import ClientCa, Issued
from tests.support.clocks import ShiftedClock
from tests.support.served import Answer, Connection

PASSWORD = "the pass:word"
Headers = Iterable[tuple[str, str]]


@cache
def _password_hash() -> str:
    return hashed(PASSWORD)  # once for all tests, because hashing is slow on purpose


@cache
def _server_ca() -> trustme.CA:
    return trustme.CA()


def basic(user: str, password: str = PASSWORD) -> tuple[str, str]:
    return "Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@dataclass
class CertificateSite:
    """The server, and what its operator can change.

    Attributes:
        folder: folder with the files of TLS and of clients.
        port: port with TLS.
        plain_port: port without TLS.
        clock: clock by which the server judges certificates, tokens and logins.
        ca: CA of clients.
        secrets: secrets of an access token, by user.
        settings: settings of the server.
    """

    folder: Path
    port: int
    plain_port: int
    clock: ShiftedClock
    ca: ClientCa
    secrets: Mapping[str, str]
    settings: Settings

    def trust(self, *cas: ClientCa) -> None:
        """Replace the CAs of clients, and let the server look at the file."""
        self._write("clients.crt", b"".join(ca.pem for ca in cas))

    def revoke(self, *issued: Issued) -> None:
        """Revoke certificates, and let the server look at the file."""
        self._write("clients.crl", self.ca.revoked(*issued))

    def _write(self, name: str, content: bytes) -> None:
        written = self.folder / f"{name}.new"
        written.write_bytes(content)
        written.replace(self.folder / name)
        self.clock.advance(seconds=2)

    @asynccontextmanager
    async def connect(self, certificate: Issued | None = None) -> AsyncIterator[Connection]:
        """Open a connection, with a client certificate or without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls(certificate))
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    def tls(self, certificate: Issued | None = None) -> ssl.SSLContext:
        """Return the TLS context of a client, with a client certificate or without one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the CAs of the system, which take long to read
        _server_ca().configure_trust(context)
        if certificate is not None:
            context.load_cert_chain(*certificate.written(self.folder, "client"))
        return context

    async def ask(
        self, certificate: Issued | None, method: str, target: str, headers: Headers = (), body: bytes = b""
    ) -> Answer:
        """Send one request on a connection of its own."""
        async with self.connect(certificate) as connection:
            await connection.send(method, target, headers, body)
            return await connection.receive(head=method == "HEAD")

    async def token(self, certificate: Issued | None, *scopes: str, headers: Headers = ()) -> tuple[str, str]:
        """Return the header with a bearer token for these scopes."""
        query = "&".join(f"scope={quote(scope)}" for scope in scopes)
        answer = await self.ask(certificate, "GET", f"/token?{query}", headers)
        assert answer.status == 200
        return "Authorization", f"Bearer {answer.json['token']}"


@asynccontextmanager
async def certificate_site(
    folder: Path,
    access: Sequence[Mapping[str, object]],
    users: Sequence[str] = (),
    server: Mapping[str, object] | None = None,
    *,
    handshakes_follow: bool = False,
    **sections: Any,
) -> AsyncIterator[CertificateSite]:
    """Serve an empty store.

    Args:
        folder: folder for the data and the files of TLS.
        access: access rules.
        users: names of users, who all have :data:`PASSWORD`.
        server: more settings of the server.
        handshakes_follow: True if handshakes see changes of the files too. Otherwise they accept what they accepted
            at the start, so that a test finds out what the server does about a connection that is open.
        sections: more sections of the configuration.
    """
    ca, clock, secrets = ClientCa(), ShiftedClock(), {}
    (folder / "clients.crt").write_bytes(ca.pem)
    (folder / "clients.crl").write_bytes(ca.revoked())
    own = _server_ca().issue_cert("127.0.0.1")
    own.private_key_pem.write_to_path(folder / "server.key")
    for blob in own.cert_chain_pems:
        blob.write_to_path(folder / "server.crt", append=True)
    files = {"certificate": "server.crt", "key": "server.key", "client_ca": "clients.crt", "client_crl": "clients.crl"}
    tls = {key: str(folder / name) for key, name in files.items()}
    served = {"listen": "127.0.0.1:5000", "anonymous": [], "tls": tls, **(server or {})}
    settings = load(flags={"server": served, "storage": {"path": str(folder / "data")}, "access": access, **sections})
    async with Store.open(folder / "data") as store:
        for user in users:
            await store.records.users.add_user(User(user, _password_hash(), datetime.now(UTC)))
            _, secrets[user] = await create_token(store.records.users, user, "a program", None)
    lines = LogLines(io.StringIO())
    files_of_tls = ServerTls(*(folder / name for name in files.values()))
    contexts = files_of_tls.reloading(clock) if handshakes_follow else OneContext(files_of_tls.context(clock.now()))
    listener, plain = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(access_control, "_CLOCK", clock)
        worker = Worker((listener, plain), allocate_shared_metrics(settings))
        async with (
            build_service(settings, worker, lines) as service,
            serving(service.application, Listener(listener, contexts), Listener(plain)),
        ):
            port, plain_port = listener.getsockname()[1], plain.getsockname()[1]
            yield CertificateSite(folder, port, plain_port, clock, ca, secrets, settings)
    lines.close()
