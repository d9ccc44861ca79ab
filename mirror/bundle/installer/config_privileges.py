"""Privileges that a plugin requests, from its config. Pure.

``docker plugin create`` and ``docker plugin enable`` grant them without a question, so the installer asks. The rules
are those of :mod:`mirror.plugin.config.privileges`: keys match in any case, and null means absent.
"""

import json
from typing import Any, Dict, List, Tuple

from mirror.bundle.installer.installer_fault import InstallerFault

_TWICE = object()


def privilege_lines(config: bytes) -> List[str]:
    """Return a line for each privilege, in the words and the order of engines.

    Raises:
        InstallerFault: the config is not one that all readers read in the same way.
    """
    try:
        value = json.loads(config.decode("utf-8", "replace"), object_pairs_hook=_folded)
    except (ValueError, RecursionError) as error:
        raise InstallerFault("the config of the plugin is not JSON: {}".format(error)) from error
    root = _member_object(value, "")
    linux = _object_in(root, "linux")
    lines = []
    network = _text_in(_object_in(root, "network"), "type")
    if network not in {"", "null", "bridge"}:
        lines.append("network: [{}]".format(network))
    if _member(root, "ipchost"):
        lines.append("host ipc namespace: [true]")
    if _member(root, "pidhost"):
        lines.append("host pid namespace: [true]")
    for key, name, owner in (("mounts", "mount", root), ("devices", "device", linux)):
        for item in _list_in(owner, key):
            path = _member(_member_object(item, key), "source" if name == "mount" else "path")
            if path is not None:
                lines.append("{}: [{}]".format(name, path))
    if _member(linux, "allowalldevices"):
        lines.append("allow-all-devices: [true]")
    capabilities = _list_in(linux, "capabilities")
    if capabilities:
        lines.append("capabilities: [{}]".format(" ".join(str(each or "") for each in capabilities)))
    return [line.replace("\n", "?") for line in lines]


def _folded(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Return an object with names as Go compares them. Values of a repeated name are marked."""
    found: Dict[str, Any] = {}
    for name, value in pairs:
        folded = name.lower().replace("\u017f", "s")
        found[folded] = _TWICE if folded in found else value
    return found


def _member(owner: Dict[str, Any], name: str) -> Any:
    value = owner.get(name)
    if value is _TWICE:
        raise InstallerFault("the config of the plugin has {} twice, and engines merge the values".format(name))
    return value


def _member_object(value: Any, name: str) -> Dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InstallerFault("the config of the plugin is invalid: {} is not an object".format(name or "it"))
    return value


def _object_in(owner: Dict[str, Any], name: str) -> Dict[str, Any]:
    return _member_object(_member(owner, name), name)


def _text_in(owner: Dict[str, Any], name: str) -> str:
    return str(_member(owner, name) or "")


def _list_in(owner: Dict[str, Any], name: str) -> List[Any]:
    value = _member(owner, name)
    if value is not None and not isinstance(value, list):
        raise InstallerFault("the config of the plugin is invalid: {} is not a list".format(name))
    return value or []
