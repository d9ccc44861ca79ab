"""Configuration of a plugin, read as engines read it (moby v1.13.1 to v29: api/types/plugin*.go).

Keys match in any case, as in Go's decoder: contiv writes both ``entrypoint`` and ``Name``. Null means absent, and
unknown keys are ignored. This is a read-only view; the bytes are never rewritten.

A duplicate member is refused. Go merges the later value into the earlier: an element of a second list without
``Source`` keeps the ``Source`` of the first list (golang/go issue 21092). A privilege could hide in that way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from mirror.oci.errors import ContentTooLarge, ManifestInvalid
from mirror.oci.strict_reading.strict_json import fold, json_words

#: Largest plugin configuration that is read, in bytes. Engines have no limit; real configurations have 1 to 10 KiB.
MAX_CONFIG_BYTES = 4 * 1024 * 1024
#: Most values of a configuration. Commas and opening brackets are counted, also within texts, because counting is
#: possible before parsing. Real configurations have about 300.
MAX_CONFIG_VALUES: Final = 20_000

Item = TypeVar("Item")

#: Half of a surrogate pair, written with a \u escape. Go's decoder reads U+FFFD instead, as for bytes outside UTF-8.
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Env:
    """An environment variable. If ``value`` is None, the variable is not passed on unless set."""

    name: str
    description: str = ""
    value: str | None = None
    settable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount in the plugin. If ``source`` is None, a source must be set before the plugin can be enabled."""

    name: str
    description: str = ""
    source: str | None = None
    destination: str = ""
    type: str = ""
    options: tuple[str, ...] = ()
    settable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the host. If ``path`` is None, a path must be set before the plugin can be enabled."""

    name: str
    description: str = ""
    path: str | None = None
    settable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Args:
    """Arguments after the entrypoint."""

    name: str = ""
    description: str = ""
    value: tuple[str, ...] = ()
    settable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interface:
    """Interface that the engine talks to.

    Attributes:
        types: interface types, such as ``docker.volumedriver/1.0``.
        socket: name of the socket below ``/run/docker/plugins``.
        protocol_scheme: empty, or ``moby.plugins.http/v1``.
    """

    types: tuple[str, ...] = ()
    socket: str = ""
    protocol_scheme: str = ""


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """Configuration of a plugin. Members are those of ``config.json``; absent members are empty.

    Attributes:
        network_type: free text; only ``host`` shares a namespace with the host.
        user_ids: UID and GID; no engine uses them.
        diff_ids: digests of the layers as the builder wrote them; engines up to 19.03 check these.
        docker_version: version of the engine that built the plugin (17.05 to 28); informational.
    """

    description: str
    documentation: str
    entrypoint: tuple[str, ...]
    work_dir: str
    user_ids: tuple[int, int]
    interface: Interface
    network_type: str
    ipc_host: bool
    pid_host: bool
    propagated_mount: str
    env: tuple[Env, ...]
    mounts: tuple[Mount, ...]
    args: Args
    capabilities: tuple[str, ...]
    allow_all_devices: bool
    devices: tuple[Device, ...]
    diff_ids: tuple[str, ...]
    docker_version: str

    @classmethod
    def parse(cls, content: bytes) -> PluginConfig:
        """Read a plugin configuration.

        Raises:
            ContentTooLarge: the content exceeds :data:`MAX_CONFIG_BYTES`.
            ManifestInvalid: the content has too many values, is not a JSON object, or has a duplicate member or a
                member of a wrong type, which engines refuse.
        """
        if len(content) > MAX_CONFIG_BYTES:
            raise ContentTooLarge(f"plugin config of {len(content)} bytes: at most {MAX_CONFIG_BYTES} are read")
        if sum(map(content.count, (b",", b"[", b"{"))) > MAX_CONFIG_VALUES:
            raise ManifestInvalid(f"plugin config has too many members: at most {MAX_CONFIG_VALUES} values are read")
        try:
            text = content.decode("utf-8", "replace")
            value = json.loads(text, object_pairs_hook=_fold, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ManifestInvalid(f"plugin config is not JSON: {json_words(error)}") from error
        root = _Object(value, "")
        linux, interface = root.object("Linux"), root.object("Interface")
        user = root.object("User")
        return cls(
            description=root.string("Description"),
            documentation=root.string("Documentation"),
            entrypoint=root.strings("Entrypoint"),
            work_dir=root.string("WorkDir"),
            user_ids=(user.id("UID"), user.id("GID")),
            interface=Interface(
                interface.strings("Types"), interface.string("Socket"), interface.string("ProtocolScheme")
            ),
            network_type=root.object("Network").string("Type"),
            ipc_host=root.boolean("IpcHost"),
            pid_host=root.boolean("PidHost"),
            propagated_mount=root.string("PropagatedMount"),
            env=root.each("Env", _env),
            mounts=root.each("Mounts", _mount),
            args=_args(root.object("Args")),
            capabilities=linux.strings("Capabilities"),
            allow_all_devices=linux.boolean("AllowAllDevices"),
            devices=linux.each("Devices", _device),
            diff_ids=root.object("rootfs").strings("diff_ids"),
            docker_version=root.string("DockerVersion"),
        )


def _no_constant(name: str) -> NoReturn:
    """Refuse ``NaN`` and ``Infinity``, which are not JSON."""
    raise ValueError(f"{name} is not a JSON value")


#: Marks a key that occurs more than once. An error is raised only if the key is read: unknown keys may repeat.
_SEVERAL: Final = object()


def _fold(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with folded keys, and mark the keys that occur more than once."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        folded = fold(key)
        found[folded] = _SEVERAL if folded in found else value
    return found


class _Object:
    """A JSON object with folded keys. Each reader checks the type of a member and names the member in its error."""

    def __init__(self, value: object, place: str) -> None:
        if value is not None and not isinstance(value, dict):
            raise ManifestInvalid(f"plugin config: {place or 'the document'} is not an object", at=place)
        self._value: dict[str, Any] = value or {}
        self._place = place

    def _member(self, key: str) -> Any:
        value = self._value.get(fold(key))
        if value is _SEVERAL:
            raise ManifestInvalid(
                f"plugin config: {self._at(key)} occurs more than once (in upper or lower case), and engines "
                "merge the values; fix: write it once",
                at=self._at(key),
            )
        return value

    def string(self, key: str) -> str:
        return self.optional_string(key) or ""

    def optional_string(self, key: str) -> str | None:
        value = self._member(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value and _SURROGATE.sub("\ufffd", value)

    def boolean(self, key: str) -> bool:
        value = self._member(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return bool(value)

    def strings(self, key: str) -> tuple[str, ...]:
        value = self._items(key)
        if not all(item is None or isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of strings")
        return tuple(_SURROGATE.sub("\ufffd", item or "") for item in value)

    def id(self, key: str) -> int:
        """Return a user or group id: an integer of 32 bits, as Go reads the only numbers of a config."""
        value = self._member(key)
        if value is not None and not (type(value) is int and 0 <= value < 2**32):
            raise self._wrong(key, "a number from 0 to 4294967295")
        return value or 0

    def object(self, key: str) -> _Object:
        return _Object(self._member(key), self._at(key))

    def each(self, key: str, read: Callable[[_Object], Item]) -> tuple[Item, ...]:
        items = self._items(key)
        return tuple(read(_Object(item, f"{self._at(key)}[{number}]")) for number, item in enumerate(items))

    def _items(self, key: str) -> list[Any]:
        value = self._member(key)
        if value is not None and not isinstance(value, list):
            raise self._wrong(key, "a list")
        return value or []

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def _wrong(self, key: str, wanted: str) -> ManifestInvalid:
        return ManifestInvalid(f"plugin config: {self._at(key)} is not {wanted}", at=self._at(key))


def _env(item: _Object) -> Env:
    return Env(item.string("Name"), item.string("Description"), item.optional_string("Value"), item.strings("Settable"))


def _mount(item: _Object) -> Mount:
    return Mount(
        name=item.string("Name"),
        description=item.string("Description"),
        source=item.optional_string("Source"),
        destination=item.string("Destination"),
        type=item.string("Type"),
        options=item.strings("Options"),
        settable=item.strings("Settable"),
    )


def _device(item: _Object) -> Device:
    path = item.optional_string("Path")
    return Device(item.string("Name"), item.string("Description"), path, item.strings("Settable"))


def _args(item: _Object) -> Args:
    return Args(item.string("Name"), item.string("Description"), item.strings("Value"), item.strings("Settable"))
