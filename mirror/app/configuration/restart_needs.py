"""Settings that cannot change while a server runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings
from mirror.settings.server.listen_address import HostPort
from mirror.settings.server.server_settings import ServerSettings

Model = TypeVar("Model", bound=BaseModel)

#: Keys of sections that are used once, at the start: sockets, processes, and what all of them share.
_FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("listen", "workers", "read_only"),
    "storage": ("path", "catalog", "blobs"),
    "log": ("format",),
}


def usable_now(wanted: Settings, configured: Settings, running: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings that a running server can use, and the keys whose change waits for a restart.

    Args:
        wanted: settings as configured now.
        configured: settings as configured at the start of the server.
        running: settings in use, which may differ from those: a server for a bundle is always read-only.

    Raises:
        ConfigurationFault: the settings are valid, but not together with those that wait for a restart.
    """
    fixed: dict[str, dict[str, Any]] = {}
    waiting: list[str] = []
    for section, keys in _FIXED.items():
        new, old, used = (getattr(settings, section) for settings in (wanted, configured, running))
        fixed[section] = {key: getattr(used, key) for key in keys}
        waiting += [f"{section}.{key}" for key in keys if getattr(new, key) != getattr(old, key)]
    # The files of server.tls may change, but a socket accepts connections either with TLS or without.
    if (wanted.server.tls is None) != (configured.server.tls is None):
        fixed["server"]["tls"] = running.server.tls
        waiting.append("server.tls")
    if _plain_address(wanted.server) != _plain_address(configured.server):
        fixed["server"]["plain"] = running.server.plain
        waiting.append("server.plain")
    try:
        # Validated again: a right that suits the new address may be dangerous at the one in use.
        server = _with(wanted.server, fixed["server"])
        settings = _with(
            wanted,
            {
                "server": server,
                "storage": wanted.storage.model_copy(update=fixed["storage"]),
                "log": wanted.log.model_copy(update=fixed["log"]),
                "offline": wanted.offline or running.server.read_only,
            },
        )
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationFault(
            f"the configuration is valid, but not as long as {', '.join(waiting)} cannot change: {reason}; "
            "or restart the server"
        ) from error
    return settings, tuple(waiting)


def _plain_address(server: ServerSettings) -> HostPort | None:
    return None if server.plain is None else server.plain.listen


def _with(section: Model, values: Mapping[str, Any]) -> Model:
    """Return a section with other values, after its validators have seen them."""
    kept = {name: getattr(section, name) for name in type(section).model_fields}
    return type(section).model_validate({**kept, **values})
