"""The section ``server.token_issuer``: bearer tokens of another server instead of our own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, PlainSerializer

from mirror.settings.section import Section
from mirror.settings.section_values import FilePath, TextForm, expanded

# Printable ASCII without a quotation mark or backslash: the values are part of a header and of log lines.
_TEXT: Final = TextForm(
    r"^[!#-\[\]-~]([ !#-\[\]-~]{0,253}[!#-\[\]-~])?$",
    "is not 1 to 255 ASCII characters without quotation marks and backslashes; fix: write the name as in tokens",
)
_REALM: Final = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[!#-\[\]-~]*)?")
_JWKS_URL: Final = re.compile(r"https://[A-Za-z0-9._:\[\]-]+(/[!#-\[\]-~]*)?")
_QUERY: Final = re.compile(r"(://[^?]*\?).+")


def _check_realm(url: str) -> str:
    if not _REALM.fullmatch(url):
        raise ValueError("is not the URL of a token server; fix: write it like https://auth.example/token")
    return url


def _check_jwks(value: str) -> str:
    if "://" in value and not _JWKS_URL.fullmatch(value):
        raise ValueError("is neither a file nor an https:// URL without a user; fix: keys need a protected way here")
    return value if "://" in value else str(expanded(Path(value)))


def _without_query(value: str) -> str:
    # A query may have a secret, as those of private links do.
    return _QUERY.sub(r"\1(hidden)", value)


class TokenIssuerSettings(Section):
    """A server that issues the bearer tokens for this one, such as docker_auth, GitLab or Harbor."""

    realm: Annotated[str, AfterValidator(_check_realm)] = Field(
        description="URL at which clients request tokens, such as https://auth.example/token"
    )
    service: Annotated[str, _TEXT] = Field(
        description="name of this server for the issuer: the service of requests, and the audience (aud) of tokens"
    )
    issuer: Annotated[str, _TEXT] = Field(description="name of the issuer in its tokens (iss)")
    jwks: Annotated[
        str, Field(min_length=1), AfterValidator(_check_jwks), PlainSerializer(_without_query, return_type=str)
    ] = Field(
        description="public keys of the issuer, as a JSON Web Key Set: a file, which is read again when it changes, or "
        "an https:// URL, which is fetched every five minutes"
    )
    ca_file: FilePath | None = Field(
        None, description="PEM file with CA certificates for the URL of jwks, in addition to those of the system"
    )

    @property
    def jwks_file(self) -> Path | None:
        """The file of ``jwks``; None if it is a URL."""
        return None if "://" in self.jwks else Path(self.jwks)
