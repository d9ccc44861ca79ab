"""A token server after the distribution token specification, for docker-registry's `auth.token` and our own issuer."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import jwt
import trustme
from cryptography.hazmat.primitives import serialization

SERVICE, ISSUER = "registry.example", "token.example"


@dataclass
class TokenServer:
    """A server for `/token` on a free port of 127.0.0.1, as a context manager.

    Clients without a login may pull from repositories below `public/`.

    Attributes:
        folder: Folder for the certificate of the token issuer.
        users: Passwords by user name. Users may do everything in every repository, and `readers` only pull. A user's
            refresh token is the password reversed.
        readers: Users who may only pull.
        post: True if the server accepts POST requests besides GET requests.
        lifetime_seconds: Lifetime of the tokens.
        asked: Requests received so far, as (method, scopes, user). The user is None without a login.
    """

    folder: Path
    users: dict[str, str] = field(default_factory=dict)
    readers: frozenset[str] = frozenset()
    post: bool = True
    lifetime_seconds: int = 300
    asked: list[tuple[str, tuple[str, ...], str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._authority = trustme.CA()
        self.bundle = self.folder / "token-bundle.pem"
        self._authority.cert_pem.write_to_path(self.bundle)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def realm(self) -> str:
        """URL of the token endpoint."""
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def registry_section(self) -> dict[str, Any]:
        """Configuration section `auth` with which docker-registry accepts the tokens of this server."""
        token = {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(self.bundle)}
        return {"token": token}

    @property
    def key_set(self) -> bytes:
        """JSON Web Key Set with the key that verifies the tokens."""
        made = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**made, "kid": self._key_id, "use": "sig", "alg": "ES256"}]}).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def token(self, scopes: tuple[str, ...], user: str | None) -> str:
        """Return a token with the part of `scopes` that the user is allowed. `user` is None for anonymous clients."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user or "",
            "aud": SERVICE,
            "exp": now + self.lifetime_seconds,
            "nbf": now - 10,
            "iat": now,
            "jti": str(time.monotonic_ns()),
            "access": [each for scope in scopes if (each := self._access(scope, user))],
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})

    @property
    def _key(self) -> Any:
        return serialization.load_pem_private_key(self._authority.private_key_pem.bytes(), None)

    @property
    def _key_id(self) -> str:
        """The key id that docker-registry before 3.0 uses.

        The id is the first 240 bits of the key's SHA-256 hash in base32, in groups of four letters.
        """
        der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        letters = base64.b32encode(hashlib.sha256(self._key.public_key().public_bytes(*der)).digest()[:30]).decode()
        return ":".join(letters[at : at + 4] for at in range(0, len(letters), 4))

    def _access(self, scope: str, user: str | None) -> dict[str, Any] | None:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if user in self.readers or user is None:
            may_pull = user is not None or name.startswith("public/")
            actions = "pull" if may_pull and "pull" in actions.split(",") else ""
        # docker-registry accepts only the resource type without its class and refuses a token for `repository(plugin)`.
        return {"type": kind.partition("(")[0], "name": name, "actions": actions.split(",")} if actions else None


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            user, password = None, ""
            if basic := self.headers.get("Authorization", "").removeprefix("Basic "):
                user, _, password = base64.b64decode(basic).decode().partition(":")
            self._answer("GET", tuple(query.get("scope", ())), user, right=server.users.get(user or "") == password)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            scopes = tuple(form.get("scope", [""])[0].split())
            if not server.post:
                server.asked.append(("POST", scopes, None))
                self._send(405, {})
                return
            if form["grant_type"] == ["refresh_token"]:
                by_token = {password[::-1]: user for user, password in server.users.items()}
                user = by_token.get(form["refresh_token"][0], "nobody")
                self._answer("POST", scopes, user, right=user in server.users)
                return
            user = form["username"][0]
            self._answer("POST", scopes, user, right=server.users.get(user) == form["password"][0])

        def _answer(self, method: str, scopes: tuple[str, ...], user: str | None, *, right: bool) -> None:
            server.asked.append((method, scopes, user))
            if user is not None and not right:
                self._send(401, {"details": "incorrect username or password"})
                return
            token = server.token(scopes, user)
            # Engines from 20.10 on read access_token from the answer to a POST.
            self._send(200, {"token": token, "access_token": token, "expires_in": server.lifetime_seconds})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError):  # engines end a request when another one has failed
                self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Discard the log line."""

    return Handler
