"""Who we are to an upstream: a name and a password, from where people keep them."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirror.oci.errors import ConfigurationFault, ManifestInvalid
from mirror.oci.manifest import parse_json_object

_HUB = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login. The password is never shown."""

    username: str
    password: str = field(repr=False)

    @classmethod
    def from_password_file(cls, username: str, path: Path) -> Credentials:
        """A login whose password is the first line of a file.

        Raises:
            ConfigurationFault: the file cannot be read or is empty, or the name holds a colon.
        """
        if not username or ":" in username:
            raise ConfigurationFault(f"user name {username!r} is empty or holds a colon, which HTTP does not allow")
        lines = _read(path).splitlines()
        if not lines or not lines[0]:
            raise ConfigurationFault(f"password file {path} is empty: its first line must be the password")
        return cls(username, lines[0])

    @classmethod
    def from_docker_config(cls, path: Path, host: str) -> Credentials:
        """The login that ``docker login`` wrote for a registry.

        Args:
            path: docker's ``config.json``; ``~`` is the home folder.
            host: ``HOST[:PORT]`` of the registry; Docker Hub's hosts share one login.

        Raises:
            ConfigurationFault: the file cannot be read, holds no login for the host, or leaves it to a helper program.
        """
        try:
            config = parse_json_object(_read(path).encode(), str(path))
        except ManifestInvalid as error:
            raise ConfigurationFault(f"{error}: it must be docker's config.json") from error
        entry = _entry(config.get("auths"), host)
        if entry is None or not entry.get("auth"):
            helped = " (it leaves logins to a credential helper)" if "credsStore" in config else ""
            raise ConfigurationFault(
                f"{path} holds no login for {host}{helped}: run 'docker login {host}' with plain storage, "
                "or give username and password_file"
            )
        try:
            username, colon, password = b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConfigurationFault(f"{path}: auth of {host} is not base64 of NAME:PASSWORD") from error
        if not colon or not username:
            raise ConfigurationFault(f"{path}: auth of {host} is not base64 of NAME:PASSWORD")
        return cls(username, password.rstrip("\0"))


def _entry(auths: object, host: str) -> dict[str, Any] | None:
    if not isinstance(auths, dict):
        return None
    wanted = _HUB_HOSTS if host in _HUB_HOSTS else {host}
    keys = [key for key in auths if _host_of(key) in wanted]
    if host in _HUB_HOSTS and _HUB in auths:
        keys.insert(0, _HUB)
    found = auths[keys[0]] if keys else None
    return found if isinstance(found, dict) else None


def _host_of(key: str) -> str:
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _read(path: Path) -> str:
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            return file.read(_MAX_FILE_BYTES)
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise ConfigurationFault(f"{path} cannot be read: {error}") from error
