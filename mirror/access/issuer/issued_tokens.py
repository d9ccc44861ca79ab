"""Verification of the bearer tokens of a token issuer (distribution token specification, "JSON Web Token")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mirror.access.issuer.jwk_set import ALGORITHMS, VerificationKey
from mirror.access.issuer.key_sources import KeySource
from mirror.access.rights import USERS_ONLY, AccessAction
from mirror.access.token_signing import CLOCKS_DIFFER_SECONDS, MOST_CHARACTERS, Grant
from mirror.oci.errors import Unauthorized
from mirror.runtime.clock import Clock

#: Actions that the issuer decides about. ``*`` in a token means these.
ISSUED_ACTIONS: Final = frozenset(AccessAction) - USERS_ONLY
_ALL: Final = frozenset(action.value for action in ISSUED_ACTIONS)
_JWS: Final = jwt.PyJWS()
_IDENTIFIER: Final = re.compile(r"[!-~]{1,64}")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _ResourceActions(_Strict):
    type: str
    name: str
    actions: list[str] | None = None


class _Claims(_Strict):
    iss: str
    aud: str | list[str]
    exp: float
    nbf: float | None = None
    iat: float | None = None
    # No colon: the names of clients with certificates have one, and no token may name such a client.
    sub: str | None = Field(None, pattern=r"^[!-9;-~]{0,255}$")
    access: list[_ResourceActions] | None = None
    jti: object = None


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Verifies the tokens of an issuer.

    Attributes:
        keys: keys of the issuer.
        issuer: the ``iss`` of its tokens.
        service: the ``aud`` of tokens for this server.
        clock: current time.
    """

    keys: KeySource
    issuer: str
    service: str
    clock: Clock

    async def read(self, token: str) -> Grant:
        """Return the content of a token.

        Raises:
            Unauthorized: the signature is invalid, the token is malformed or has expired, or it is from another issuer
                or for another service.
        """
        if len(token) > MOST_CHARACTERS or not token.isascii():
            raise _refused(f"it has more than {MOST_CHARACTERS} characters, or is not ASCII")
        try:
            claims = _Claims.model_validate_json(await self._verified(token))
        except (jwt.PyJWTError, RecursionError) as error:
            raise _refused("it is not a JSON Web Token") from error
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise _refused(_words(first["loc"], first["type"])) from error
        self._require_for_here(claims)
        self._require_valid_time(claims)
        return _grant(claims)

    async def _verified(self, token: str) -> bytes:
        """Return the payload of a token whose signature is valid."""
        # What else the header says about keys (jwk, jku, x5u, x5c) is not looked at: the sender has written it.
        header = jwt.get_unverified_header(token)
        if "crit" in header:
            raise _refused("its header has critical extensions, and none is known")
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise _refused(f"its algorithm is none of {', '.join(sorted(ALGORITHMS))}")
        for key in await self._candidates(algorithm, kid):
            try:
                payload: bytes = _JWS.decode(token, key.key, algorithms=[algorithm])
            except jwt.InvalidSignatureError:
                continue
            return payload
        raise _refused("no key of the token issuer has made its signature")

    async def _candidates(self, algorithm: str, kid: str | None) -> list[VerificationKey]:
        found = (await self.keys.current()).candidates(algorithm, kid)
        return found or (await self.keys.newer()).candidates(algorithm, kid)

    def _require_for_here(self, claims: _Claims) -> None:
        if claims.iss != self.issuer:
            raise _refused(f"its issuer is not {self.issuer}")
        if self.service not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise _refused(f"its audience is not {self.service}")

    def _require_valid_time(self, claims: _Claims) -> None:
        now_seconds = self.clock.now().timestamp()
        if now_seconds >= claims.exp + CLOCKS_DIFFER_SECONDS:
            raise _refused("it has expired; fix: request a new token")
        if max(claims.nbf or 0, claims.iat or 0) > now_seconds + CLOCKS_DIFFER_SECONDS:
            raise _refused("it is not yet valid; fix: compare the clocks of the issuer and of this server")


def _words(place: Sequence[str | int], kind: str) -> str:
    """Return what is wrong with a claim, by pydantic's type of the error."""
    if not place:
        return "its payload is not a JSON object"
    # Below aud, pydantic names the types that the claim may have.
    claim = ".".join(map(str, place if place[0] == "access" else place[:1]))
    wrong = (
        "is missing" if kind == "missing" else "has a wrong value" if kind.endswith("mismatch") else "has a wrong type"
    )
    return f"its claim {claim} {wrong}"


def _grant(claims: _Claims) -> Grant:
    repositories: dict[str, frozenset[str]] = {}
    has_catalog = False
    for entry in claims.access or ():
        actions = frozenset(entry.actions or ())
        # Engines ask for repository(plugin), and some issuers copy that into the token.
        if entry.type.partition("(")[0] == "repository":
            repositories[entry.name] = repositories.get(entry.name, frozenset()) | _meant(actions)
        elif (entry.type, entry.name) == ("registry", "catalog"):
            has_catalog = has_catalog or "*" in actions
    return Grant(claims.sub or "", _proof(claims.jti), repositories, has_catalog)


def _proof(identifier: object) -> str:
    """Return what the audit has about a token: its identifier, if it is short and printable."""
    told = identifier if isinstance(identifier, str) and _IDENTIFIER.fullmatch(identifier) else ""
    return f"issued:{told}"


def _meant(actions: frozenset[str]) -> frozenset[str]:
    return actions - {"*"} | _ALL if "*" in actions else actions


def _refused(why: str) -> Unauthorized:
    return Unauthorized(f"the token is refused: {why}", error="invalid_token")
