"""JSON answers of an engine's API, read into values. Pure.

Engines of many releases answer, so members that are only shown may be missing. An answer without a member that decides
something is invalid.
"""

from __future__ import annotations

import json
from typing import Any, Final

from mirror.hosts.engine_api import EngineInfo, EngineVersion, InstalledPlugin, PluginSettings, PullStep
from mirror.hosts.engine_errors import EngineProtocolError
from mirror.oci import Digest
from mirror.oci.errors import DigestInvalid, MirrorError
from mirror.oci.printable_text import printable
from mirror.oci.strict_reading.strict_json import json_words
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.config.privileges import Privilege
from mirror.plugin.config.secret_values import masked_text

#: Longest message of an engine that is quoted, in characters.
_MOST_MESSAGE: Final = 1000
_MOST_NAME: Final = 300


def read_json(content: bytes) -> Any:
    """Return the value in a JSON text.

    Raises:
        EngineProtocolError: the text is not JSON, or nested too deeply for the parser.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"is not JSON: {json_words(error)}") from error


def read_message(content: bytes) -> str:
    """Return the message of an error answer, printable and without secrets. Any content is accepted."""
    try:
        found = _text(_object(read_json(content)), "message")
    except EngineProtocolError:
        # Something other than an engine may answer, such as a proxy with an HTML page.
        found = content[:_MOST_MESSAGE].decode("utf-8", "replace")
    return _shown(found)


def read_version(value: Any) -> EngineVersion:
    """Return the answer to ``GET /version``.

    Raises:
        EngineProtocolError: the answer names no version.
    """
    body = _object(value)
    version, api_version = _text(body, "Version", _MOST_NAME), _text(body, "ApiVersion", _MOST_NAME)
    if not version or not api_version:
        raise _invalid("names no version of an engine")
    return EngineVersion(
        version=version,
        api_version=api_version,
        os=_text(body, "Os", _MOST_NAME),
        architecture=_text(body, "Arch", _MOST_NAME),
        kernel=_text(body, "KernelVersion", _MOST_NAME),
    )


def read_info(value: Any) -> EngineInfo:
    """Return the answer to ``GET /info``."""
    body = _object(value)
    registries = _member(body, "RegistryConfig")
    indexes = _member(registries, "IndexConfigs")
    return EngineInfo(
        name=_text(body, "Name", _MOST_NAME),
        data_root=_text(body, "DockerRootDir"),
        security_options=_texts(body, "SecurityOptions"),
        insecure_networks=_texts(registries, "InsecureRegistryCIDRs"),
        insecure_hosts=tuple(
            _whole(host) for host, index in indexes.items() if isinstance(index, dict) and index.get("Secure") is False
        ),
        default_runtime=_text(body, "DefaultRuntime", _MOST_NAME),
        runtime_answers=_member(body, "RuncCommit").get("ID") != "N/A",
        engine_id=_text(body, "ID", _MOST_NAME),
    )


def read_plugins(value: Any) -> tuple[InstalledPlugin, ...]:
    """Return the answer to ``GET /plugins``, sorted by name.

    Raises:
        EngineProtocolError: the answer is not a list of plugins.
    """
    return tuple(sorted((_plugin(_object(item)) for item in _list(value)), key=lambda plugin: plugin.name))


def read_privileges(value: Any) -> tuple[Privilege, ...]:
    """Return the answer to ``GET /plugins/privileges``, in the engine's order.

    Raises:
        EngineProtocolError: the answer is not a list of privileges.
    """
    return tuple(_privilege(_object(item)) for item in _list(value))


def read_descriptor(value: Any) -> Digest:
    """Return the digest in the answer to ``GET /distribution/NAME/json``.

    Raises:
        EngineProtocolError: the answer has no digest.
    """
    try:
        return Digest.parse(_text(_member(_object(value), "Descriptor"), "digest"))
    except DigestInvalid as error:
        raise _invalid(f"names no digest: {error}") from error


def read_step(value: Any) -> PullStep:
    """Return one message of a pull.

    Raises:
        EngineProtocolError: the message is not an object.
    """
    body = _object(value)
    detail = _member(body, "progressDetail")
    return PullStep(
        layer=_text(body, "id", _MOST_NAME),
        status=_text(body, "status", _MOST_NAME),
        done_bytes=_number(detail, "current"),
        total_bytes=_number(detail, "total"),
    )


def read_stream_error(value: Any) -> str | None:
    """Return the error that a message of a pull reports, printable and without secrets; None if it reports none."""
    body = _object(value)
    if "error" not in body and "errorDetail" not in body:
        return None
    found = _text(_member(body, "errorDetail"), "message") or _text(body, "error")
    return _shown(found)


def _plugin(body: dict[str, Any]) -> InstalledPlugin:
    name, enabled = _text(body, "Name", _MOST_NAME), body.get("Enabled")
    if not name or not isinstance(enabled, bool) or not isinstance(body.get("Config"), dict):
        raise _invalid("is a list of plugins with an entry without Name, Enabled or Config")
    settings = _member(body, "Settings")
    return InstalledPlugin(
        plugin_id=_text(body, "Id", _MOST_NAME),
        name=name,
        enabled=enabled,
        reference=_text(body, "PluginReference", _MOST_NAME),
        config=_config(body["Config"], name),
        settings=_settings(settings, name),
    )


def _settings(body: dict[str, Any], name: str) -> PluginSettings:
    # Mounts and devices of settings have the form that they have in a config.
    read = _config({"Mounts": body.get("Mounts"), "Linux": {"Devices": body.get("Devices")}}, name)
    return PluginSettings(_texts(body, "Env"), read.mounts, read.devices, _texts(body, "Args"))


def _config(value: dict[str, Any], name: str) -> PluginConfig:
    try:
        return PluginConfig.parse(json.dumps(value).encode())
    except (MirrorError, RecursionError) as error:
        shown = printable(name, _MOST_NAME)
        raise EngineProtocolError(f"the engine's plugin {shown} cannot be read: {error}") from error


def _privilege(body: dict[str, Any]) -> Privilege:
    name = _text(body, "Name")
    if not name:
        raise _invalid("is a list of privileges with an entry without Name")
    return Privilege(name, _text(body, "Description"), _texts(body, "Value"))


def _shown(message: str) -> str:
    """Return a message of an engine on one line, without the secrets in the settings that it quotes."""
    return masked_text(printable(" ".join(message.split()), _MOST_MESSAGE)) or "no message"


def _invalid(what: str) -> EngineProtocolError:
    return EngineProtocolError(f"the answer of the engine {what}; fix: check that a Docker Engine listens there")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid("is not an object")
    return value


def _list(value: Any) -> list[Any]:
    """Return a list. Engines write null for an empty list."""
    if value is not None and not isinstance(value, list):
        raise _invalid("is not a list")
    return value or []


def _member(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def _text(body: dict[str, Any], key: str, most_characters: int | None = None) -> str:
    """Return a string member, cut to a length; empty for any other value."""
    value = body.get(key)
    return _whole(value[:most_characters]) if isinstance(value, str) else ""


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def _texts(body: dict[str, Any], key: str) -> tuple[str, ...]:
    value = body.get(key)
    return tuple(_whole(item) for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _number(body: dict[str, Any], key: str) -> int | None:
    value = body.get(key)
    return value if type(value) is int and value >= 0 else None
