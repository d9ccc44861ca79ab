"""Credentials for an upstream: a user name and a password, or an identity token, from files and helpers."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import parse_json_object
from mirror.runtime.error_advice import file_words, without_fix
from mirror.wire.registry_url import DOCKER_HUB_HOSTS

_HUB = "https://index.docker.io/v1/"
_MAX_FILE_BYTES = 1024 * 1024
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The user name that docker and its helpers write if the secret is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105 - a name, not a secret


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login. The representation hides the password and the token.

    Attributes:
        username: user name; empty if there is only an identity token.
        password: password; empty if there is an identity token.
        identity_token: refresh token of OAuth 2.0, for which a token server issues tokens in place of a password.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The user, for messages."""
        return f"user {self.username}" if self.username else "the identity token"

    async def current(self) -> Credentials:
        """Return this login, which makes the class a login source that never changes."""
        return self

    @classmethod
    def from_pair(cls, username: str, secret: str) -> Credentials:
        """Return a login as given by docker and its helpers. The name ``<token>`` marks an identity token."""
        return cls("", "", secret) if username == _TOKEN_USER else cls(username, secret)

    @classmethod
    def from_password_file(cls, username: str, path: Path) -> Credentials:
        """Return a login whose password is the first line of a file.

        Raises:
            ConfigurationFault: the file cannot be read or is empty, or the name contains a colon.
        """
        if not username or ":" in username:
            raise ConfigurationFault(f"user name {username!r} is empty or contains a colon, which HTTP does not allow")
        lines = _read(path).splitlines()
        if not lines or not lines[0]:
            raise ConfigurationFault(f"password file {path} is empty; fix: write the password into its first line")
        return cls(username, lines[0])

    @classmethod
    def from_docker_config(cls, path: Path, registry: str) -> Credentials | HelperQuestion:
        """Return the login that ``docker login`` wrote for a registry, or the credential helper to ask for the login.

        Args:
            path: docker's ``config.json``.
            registry: ``HOST[:PORT][/PATH]`` of the registry. An entry for a part of the path, as ``podman login``
                writes it, takes precedence over the entry for the host. The hosts of Docker Hub share one login.

        Raises:
            ConfigurationFault: the file cannot be read, or contains no login for the host.
        """
        try:
            config = parse_json_object(_read(path).encode(), str(path))
        except ManifestInvalid as error:
            raise ConfigurationFault(f"{without_fix(error)}; fix: name docker's config.json") from error
        host = registry.partition("/")[0]
        if (helper := _helper(config, host)) is not None:
            # The name becomes part of a program's name, so a path in it could run any program.
            if not isinstance(helper, str) or _HELPER_NAME.fullmatch(helper) is None:
                raise ConfigurationFault(f"{path}: {str(helper)[:64]!r} is not the name of a credential helper")
            return HelperQuestion(helper, _HUB if host in DOCKER_HUB_HOSTS else host)
        entry = _of_registry(config.get("auths"), registry)
        if not isinstance(entry, dict) or not (entry.get("auth") or entry.get("identitytoken")):
            raise ConfigurationFault(
                f"{path} contains no login for {host}; "
                f"fix: run 'docker login {host}', or configure username and password_file"
            )
        return _from_entry(entry, f"{path}: auth of {host}")


@dataclass(frozen=True, slots=True)
class HelperQuestion:
    """A request to a credential helper.

    Attributes:
        helper: suffix of the program name ``docker-credential-HELPER``.
        server: the registry, in the form that the helper expects.
    """

    helper: str
    server: str


def _helper(config: dict[str, Any], host: str) -> object:
    return _of_registry(config.get("credHelpers"), host) or config.get("credsStore") or None


def _from_entry(entry: dict[str, Any], where: str) -> Credentials:
    try:
        username, colon, password = b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"{where} is not base64 of NAME:PASSWORD") from error
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credentials(username if username != _TOKEN_USER else "", "", token)
    if not colon or not username:
        raise ConfigurationFault(f"{where} is not base64 of NAME:PASSWORD")
    return Credentials(username, password.rstrip("\0"))


def _of_registry(entries: object, registry: str) -> object:
    """Return the entry for ``HOST[:PORT][/PATH]``: the one with the longest matching path, or else one of the host."""
    if not isinstance(entries, dict):
        return None
    host = registry.partition("/")[0]
    if host in DOCKER_HUB_HOSTS:
        keys = [key for key in (_HUB, *entries) if key in entries and _place(key).partition("/")[0] in DOCKER_HUB_HOSTS]
        return entries[keys[0]] if keys else None
    keys = [key for key in entries if _place(key).partition("/")[0] == host]
    # Docker ignores the path of a key, such as /v1/ of old engines.
    keys.sort(key=lambda key: len(_place(key)) if f"{registry}/".startswith(f"{_place(key)}/") else 0, reverse=True)
    return entries[keys[0]] if keys else None


def _place(key: str) -> str:
    return (key.partition("://")[2] if "://" in key else key).rstrip("/")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_FILE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"{path} cannot be read: {file_words(error)}") from error
