"""HTTP requests to a registry as engines send them: with their user agent, their scopes and their trust."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import IO, Final

import aiohttp
from yarl import URL

from mirror import __version__
from mirror.hosts.engine_api import EngineVersion, RegistryLogin
from mirror.hosts.route.route_connections import STEP_SECONDS
from mirror.hosts.route.route_facts import RegistryPlace, RouteAnswer, TokenAnswer
from mirror.oci import Descriptor, Digest, Manifest, Repository, Tag
from mirror.oci.errors import BlobUnknown, ManifestInvalid, ManifestUnknown, UpstreamUnreachable
from mirror.oci.media_types import MANIFESTS, OCTET_STREAM
from mirror.runtime.system_errors import connection_words
from mirror.wire.auth import basic_auth, challenges
from mirror.wire.auth.basic_auth import Login
from mirror.wire.auth.challenges import Challenge
from mirror.wire.auth.scopes import repository_scope
from mirror.wire.auth.tokens import Token, token_url
from mirror.wire.ranges import RangeRequest, Span
from mirror.wire.routes import BlobRoute, ManifestRoute, PingRoute, Route, TagsRoute

#: Largest answer that is read, in bytes. Engines since 20.10 refuse larger manifests.
_MOST_BODY_BYTES: Final = 4 * 1048 * 1048
_CHUNK_BYTES: Final = 256 * 1024
_WORDS: Final = (
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ServerDisconnectedError, "the connection was closed without an answer"),
    (TimeoutError, f"no answer within {STEP_SECONDS:.0f} s"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), "this is not a URL"),
)


class RouteClient:
    """A client of one registry that asks as an engine does. Created by :meth:`open`.

    Implements :class:`mirror.registry.port.Reader`.

    Attributes:
        token: answer to the last request for a token, or for a login; None if the registry asked for none.
    """

    def __init__(self, session: aiohttp.ClientSession, base: URL, login: RegistryLogin | None) -> None:
        self._session = session
        self._base = base
        self._login = login
        self._authorization: str | None = None
        self.token: TokenAnswer | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        place: RegistryPlace,
        *,
        plain: bool,
        tls: ssl.SSLContext,
        engine: EngineVersion | None,
        login: RegistryLogin | None,
    ) -> AsyncIterator[RouteClient]:
        """Open a client. No request is sent yet.

        Args:
            place: the registry.
            plain: True to use plain HTTP.
            tls: TLS context of the engine.
            engine: version of the engine; None if it is unknown.
            login: login that the user has at the registry; None to ask anonymously.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=STEP_SECONDS, sock_read=STEP_SECONDS)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent(engine), "Accept-Encoding": "identity"},
            auto_decompress=False,
            timeout=timeout,
        ) as session:
            yield cls(session, URL(f"{'http' if plain else 'https'}://{place.authority}"), login)

    async def ping(self) -> RouteAnswer:
        """Return the answer to ``GET /v2/``, without a token."""
        return await self._ask("GET", self._url(PingRoute()), {})

    async def log_in(self, answer: RouteAnswer) -> None:
        """Ask for a token or log in, as the challenge in an answer demands. ``token`` has the result."""
        if await self._answer_challenge(answer, ()) and self.token is not None and not self.token.realm:
            self.token = replace(self.token, answer=await self.ping())

    async def manifest(self, repository: Repository, target: Tag | Digest) -> RouteAnswer:
        """Return the answer to the request for a manifest."""
        return await self._with_token(ManifestRoute(repository, target), repository, {"Accept": ", ".join(MANIFESTS)})

    async def blob(self, repository: Repository, digest: Digest) -> RouteAnswer:
        """Return the answer to a ``HEAD`` request for a blob."""
        return await self._with_token(BlobRoute(repository, digest), repository, {}, method="HEAD")

    async def tags(self, repository: Repository) -> RouteAnswer:
        """Return the answer to the request for the tags of a repository."""
        return await self._with_token(TagsRoute(repository), repository, {})

    async def resolve(self, repository: Repository, target: Tag | Digest) -> Descriptor:
        return (await self.get_manifest(repository, target)).descriptor

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        answer = await self.manifest(repository, target)
        if answer.status != 200:
            raise ManifestUnknown(f"{repository} has no manifest {target}")
        return read_manifest(answer, target)

    async def stat_blob(self, repository: Repository, digest: Digest) -> Descriptor:
        answer = await self.blob(repository, digest)
        if answer.status != 200:
            raise BlobUnknown(f"{repository} has no blob {digest}")
        return Descriptor(OCTET_STREAM, digest, int(answer.headers.get("content-length", 0)))

    @asynccontextmanager
    async def open_blob(
        self, repository: Repository, digest: Digest, part: RangeRequest | None = None, size_bytes: int | None = None
    ) -> AsyncIterator[RouteBlob]:
        """Open a blob. ``part`` is ignored: only whole blobs are read."""
        held = size_bytes if size_bytes is not None else (await self.stat_blob(repository, digest)).size_bytes
        headers = {} if self._authorization is None else {"Authorization": self._authorization}
        try:
            async with self._session.get(self._url(BlobRoute(repository, digest)), headers=headers) as response:
                if response.status != 200:
                    raise BlobUnknown(f"{repository} has no blob {digest}")
                yield RouteBlob(response, held)
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachable(f"{digest} was not read to its end: {_words(error)}") from error

    def _url(self, route: Route) -> URL:
        return URL(f"{self._base}".rstrip("/") + route.url(), encoded=True)

    async def _with_token(
        self, route: Route, repository: Repository, headers: Mapping[str, str], method: str = "GET"
    ) -> RouteAnswer:
        """Send a request, and once more with a token if the registry asks for one."""
        url = self._url(route)
        answer = await self._ask(method, url, headers)
        if answer.status == 401:
            scope = repository_scope(repository, "pull")
            # Engines ask for plugins with the class in the type, and since 20.10 without the class too.
            scopes = (scope.replace("repository:", "repository(plugin):", 1), scope)
            if await self._answer_challenge(answer, scopes):
                answer = await self._ask(method, url, headers)
        return answer

    async def _answer_challenge(self, answer: RouteAnswer, scopes: tuple[str, ...]) -> bool:
        """Get a token, or take the login, for a challenge. Return True if the request can be repeated with it."""
        found = {one.scheme: one for one in challenges.parse(answer.headers.get("www-authenticate", ""))}
        username = "" if self._login is None else self._login.username
        if "bearer" in found:
            self.token = await self._ask_for_token(found["bearer"], scopes)
            return self._authorization is not None
        self.token = TokenAnswer("", answer, username)
        if "basic" in found and self._login is not None and self._authorization is None:
            self._authorization = self._basic()
            return True
        return False

    async def _ask_for_token(self, challenge: Challenge, scopes: tuple[str, ...]) -> TokenAnswer:
        realm, service = challenge.parameters.get("realm", ""), challenge.parameters.get("service")
        username = "" if self._login is None else self._login.username
        wanted = tuple(dict.fromkeys((*challenge.parameters.get("scope", "").split(), *scopes)))
        headers = {} if self._login is None else {"Authorization": self._basic()}
        self._authorization = None
        try:
            url = URL(token_url(realm, service, wanted, username or None), encoded=True)
        except ValueError:
            return TokenAnswer(realm, RouteAnswer(0, problem="this is not a URL"), username)
        answer = await self._ask("GET", url, headers)
        if answer.status == 200:
            try:
                self._authorization = f"Bearer {Token.parse(answer.body).value}"
            except ManifestInvalid:
                answer = RouteAnswer(answer.status, answer.headers, answer.body, "its answer has no token")
        return TokenAnswer(realm, answer, username)

    def _basic(self) -> str:
        if self._login is None:
            raise AssertionError("only a login makes a header")
        return basic_auth.build(Login(self._login.username, self._login.password))

    async def _ask(self, method: str, url: URL, headers: Mapping[str, str]) -> RouteAnswer:
        own = url.origin() == self._base.origin()
        sent = {**({"Authorization": self._authorization} if own and self._authorization else {}), **headers}
        try:
            async with self._session.request(method, url, headers=sent) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > _MOST_BODY_BYTES:
                        return RouteAnswer(0, problem=f"the answer has more than {_MOST_BODY_BYTES} bytes")
                known = {name.lower(): value for name, value in response.headers.items()}
                return RouteAnswer(response.status, known, bytes(body))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return RouteAnswer(0, problem=_words(error))


@dataclass(frozen=True, slots=True)
class RouteBlob:
    """A blob that is read from a registry. Implements :class:`mirror.registry.port.Blob`."""

    response: aiohttp.ClientResponse
    size_bytes: int

    @property
    def span(self) -> Span:
        return Span(0, self.size_bytes)

    @property
    def file(self) -> IO[bytes] | None:
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.response.content.iter_chunked(_CHUNK_BYTES):
            yield chunk


def read_manifest(answer: RouteAnswer, target: Tag | Digest) -> Manifest:
    """Return the manifest in an answer.

    Raises:
        ManifestInvalid, DigestInvalid: the answer has none, or another one than was asked for.
    """
    expected = target if isinstance(target, Digest) else None
    return Manifest.parse(answer.body, answer.headers.get("content-type", ""), expected)


def user_agent(engine: EngineVersion | None) -> str:
    """Return the user agent of an engine. A registry may answer engines of each platform differently."""
    own = f"docker-plugin-mirror/{__version__}"
    if engine is None:
        return own
    words = (f"docker/{engine.version}", f"kernel/{engine.kernel}", f"os/{engine.os}", f"arch/{engine.architecture}")
    return " ".join((*(word for word in words if word.isascii() and word.isprintable()), f"UpstreamClient({own})"))


def _words(error: Exception) -> str:
    """Return the reason of a failed request in words of this program."""
    known = next((words for kind, words in _WORDS if isinstance(error, kind)), None)
    if known is not None:
        return known
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return connection_words(cause) if isinstance(cause, OSError) else "the connection was lost"
