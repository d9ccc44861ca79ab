"""Settings of a Docker Engine in files of its host: ``daemon.json`` and ``certs.d``. All functions block."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mirror.hosts.insecure_registries import is_network

#: Folder with the settings of an engine of root.
DOCKER_FOLDER: Final = Path("/etc/docker")
#: Registries that each engine may reach over HTTP, whatever its settings.
_ALWAYS_INSECURE: Final = "127.0.0.0/8"
_MOST_BYTES: Final = 1024 * 1024
#: An entry of registry-mirrors. Engines do not start if one has a login, a query or a fragment (moby:
#: registry/config.go, ValidateMirror).
_MIRROR: Final = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[A-Za-z0-9._-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?)(?:/[^?#\s]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RegistryMirror:
    """An entry of ``registry-mirrors``: a registry that engines ask before Docker Hub.

    Attributes:
        authority: ``HOST[:PORT]``.
        is_plain: True for a URL with ``http://``, which engines use as it is.
    """

    authority: str
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class DaemonFile:
    """The file ``daemon.json`` of an engine.

    Attributes:
        path: the file, which need not exist.
        insecure: entries of ``insecure-registries``.
        mirrors: entries of ``registry-mirrors``.
        problem: reason why the engine cannot use the file; empty if it can, or if there is no file.
        is_hidden: True if this user may not read the file.
    """

    path: Path
    insecure: tuple[str, ...] = ()
    mirrors: tuple[RegistryMirror, ...] = ()
    problem: str = ""
    is_hidden: bool = False

    @property
    def insecure_networks(self) -> tuple[str, ...]:
        """Networks whose registries may use HTTP, with the one that needs no entry."""
        return (_ALWAYS_INSECURE, *(entry for entry in self.insecure if is_network(entry)))

    @property
    def insecure_hosts(self) -> tuple[str, ...]:
        """Registries that may use HTTP, as ``HOST[:PORT]``."""
        return tuple(entry for entry in self.insecure if not is_network(entry))


@dataclass(frozen=True, slots=True)
class TrustFolder:
    """The folder in ``certs.d`` with the certificates for one registry.

    Attributes:
        path: the folder, which need not exist.
        authorities: files with certificates that the engine trusts in addition to those of the system.
        clients: client certificates with their keys.
        problem: reason why the engine does not connect to the registry; empty if there is none.
        is_hidden: True if this user may not read the folder.
    """

    path: Path
    authorities: tuple[Path, ...] = ()
    clients: tuple[tuple[Path, Path], ...] = ()
    problem: str = ""
    is_hidden: bool = False


def docker_folder(environment: Mapping[str, str], *, rootless: bool) -> Path:
    """Return the folder with the settings of the engine on this host.

    Args:
        environment: ``XDG_CONFIG_HOME``, for an engine without root.
        rootless: True if the engine runs without root, as this user.
    """
    if not rootless:
        return DOCKER_FOLDER
    return Path(environment.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "docker"


def read_daemon_file(folder: Path) -> DaemonFile:
    """Return ``daemon.json`` in a folder."""
    path = folder / "daemon.json"
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return DaemonFile(path)
    except PermissionError:
        return DaemonFile(path, is_hidden=True)
    except OSError as error:
        return DaemonFile(path, problem=f"cannot be read: {error.strerror}")
    try:
        value = json.loads(content) if content.strip() else {}
    except json.JSONDecodeError as error:
        return DaemonFile(path, problem=f"is not JSON: look at line {error.lineno}, column {error.colno}")
    except (ValueError, RecursionError):
        return DaemonFile(path, problem="is not JSON in UTF-8")
    return _parsed(path, value)


def _parsed(path: Path, value: Any) -> DaemonFile:
    if not isinstance(value, dict):
        return DaemonFile(path, problem="is not a JSON object")
    found: dict[str, list[str]] = {}
    for key in ("insecure-registries", "registry-mirrors"):
        listed = value.get(key)
        if listed is None:  # engines read null as no list
            listed = []
        if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
            return DaemonFile(path, problem=f"has {key} that are not a list of texts")
        found[key] = listed
    mirrors = []
    for number, entry in enumerate(found["registry-mirrors"], 1):
        match = _MIRROR.fullmatch(entry)
        if match is None:
            # The entry may have a password.
            wrong = f"has registry-mirrors whose entry {number} is not https://HOST[:PORT] or http://HOST[:PORT]"
            return DaemonFile(path, problem=wrong)
        mirrors.append(RegistryMirror(match["authority"], is_plain=match["scheme"].lower() == "http"))
    # Engines drop the scheme of an insecure registry, with a warning in their log.
    return DaemonFile(path, tuple(map(_without_scheme, found["insecure-registries"])), tuple(mirrors))


def _without_scheme(entry: str) -> str:
    return entry.removeprefix("http://").removeprefix("https://")


def read_trust_folder(folder: Path, host: str) -> TrustFolder:
    """Return the certificates for a registry (moby: registry/registry.go, ReadCertsDirectory).

    Args:
        folder: folder with the settings of the engine.
        host: registry as it is in the reference: ``HOST[:PORT]``.
    """
    path = folder / "certs.d" / host
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return TrustFolder(path)
    except PermissionError:
        return TrustFolder(path, is_hidden=True)
    except OSError as error:
        return TrustFolder(path, problem=f"{path} cannot be read: {error.strerror}")
    authorities = tuple(path / name for name in names if name.endswith(".crt"))
    clients = []
    for name in names:
        stem, _, ending = name.rpartition(".")
        if ending == "cert" and f"{stem}.key" not in names:
            problem = f"{path / name} has no key {stem}.key beside it"
            return TrustFolder(path, authorities, problem=problem)
        if ending == "key" and f"{stem}.cert" not in names:
            problem = f"{path / name} has no certificate {stem}.cert beside it"
            return TrustFolder(path, authorities, problem=problem)
        if ending == "cert":
            clients.append((path / name, path / f"{stem}.key"))
    return TrustFolder(path, authorities, tuple(clients))
