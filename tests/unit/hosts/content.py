"""Answers of an engine as they are sent, with the members that this program reads."""

from __future__ import annotations

import json
from typing import Any

CONFIG: dict[str, Any] = {
    "Description": "Volumes",
    "Entrypoint": ["/driver"],
    "Env": [{"Name": "DEBUG", "Value": "1", "Settable": ["value"]}],
    "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "volumes.sock"},
    "Mounts": [
        {
            "Name": "data",
            "Source": "/srv",
            "Destination": "/data",
            "Type": "bind",
            "Options": ["rbind"],
            "Settable": ["source"],
        }
    ],
    "Linux": {"Devices": [{"Name": "fuse", "Path": "/dev/fuse", "Settable": ["path"]}]},
    "Args": {"Name": "args", "Value": [], "Settable": ["value"]},
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'1' * 64}"]},
}
PLUGIN: dict[str, Any] = {
    "Id": "a" * 64,
    "Name": "acme/driver:1",
    "Enabled": False,
    "PluginReference": "mirror:5000/acme/driver:1",
    "Config": CONFIG,
    "Settings": {
        "Args": ["-v"],
        "Env": ["DEBUG=1"],
        "Mounts": CONFIG["Mounts"],
        "Devices": CONFIG["Linux"]["Devices"],
    },
}
VERSION: dict[str, Any] = {
    "Version": "20.10.24+dfsg1",
    "ApiVersion": "1.41",
    "Os": "linux",
    "Arch": "amd64",
    "KernelVersion": "6.1.0",
}
INFO: dict[str, Any] = {
    "ID": "5a7c5d2e",
    "Name": "node1",
    "DockerRootDir": "/var/lib/docker",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default", "name=userns"],
    "RegistryConfig": {
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Secure": True}, "mirror:5000": {"Secure": False}},
    },
    "DefaultRuntime": "runc",
}


def encoded(value: Any) -> bytes:
    """Return JSON as a line."""
    return json.dumps(value).encode() + b"\n"
