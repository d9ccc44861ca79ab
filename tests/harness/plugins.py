"""Folders for `docker plugin create`: contiv's network plugin of 2017, and a working volume driver."""

import functools
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

COMPILER = "gcc"
VOLUME_DRIVER_SOURCE = Path(__file__).with_name("volume_driver.c")

CONTIV_PRIVILEGES: Mapping[str, Sequence[str]] = {
    "network": ["host"],
    "mount": ["/etc/openvswitch", "/var/log/openvswitch", "/var/run", "/lib/modules"],
    "capabilities": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_MODULE"],
}
"""Privileges that an engine asks the operator to grant to `contiv_plugin`."""


def missing() -> str | None:
    """Return a sentence that names the package `volume_plugin` needs to compile its driver, or None."""
    if shutil.which(COMPILER) is None:
        return "gcc is not installed (Debian: apt-get install gcc libc6-dev)"
    found = subprocess.run(
        [COMPILER, "-print-file-name=libc.a"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if not Path(found).is_absolute():
        return "the static C library is not installed (Debian: apt-get install libc6-dev)"
    return None


def contiv_plugin(folder: Path, *, payload_size_bytes: int = 0) -> Path:
    """Write contiv's v2plugin of 2017 into `folder` and return `folder`.

    The plugin asks for the host network, four mounts and three capabilities. Keys are lower case, as in contiv's
    template, and engines accept this spelling. The root filesystem is tiny and the plugin cannot be enabled.

    Args:
        folder: Existing or new folder.
        payload_size_bytes: Size of an additional file that does not compress. Its bytes are the same each time.
    """
    rootfs = folder / "rootfs"
    for name in ("etc/openvswitch", "var/log/openvswitch", "var/run", "lib/modules", "opt/contiv"):
        (rootfs / name).mkdir(parents=True)
    start = rootfs / "startcontiv.sh"
    start.write_text('#!/bin/sh\n# Stands for contiv\'s start script.\necho "contiv as $plugin_role"\n')
    start.chmod(0o755)
    if payload_size_bytes:
        (rootfs / "opt/contiv/netplugin").write_bytes(random.Random(2017).randbytes(payload_size_bytes))
    _write_config(
        folder,
        {
            "manifestVersion": "v0",
            "description": "Contiv network plugin for Docker",
            "documentation": "https://contiv.github.io",
            "entrypoint": ["/startcontiv.sh"],
            "network": {"type": "host"},
            "env": [
                _setting("dbg_flag", "-debug", "'-debug' turns the debug mode on"),
                _setting("iflist", "", "VLAN uplink interfaces for Open vSwitch"),
                _setting("cluster_store", "etcd://localhost:2379", "URL of the cluster store: etcd or Consul"),
                _setting("ctrl_ip", "none", "local IP address of the control traffic"),
                _setting("vtep_ip", "none", "local IP address of the VXLAN tunnel end"),
                _setting("plugin_role", "master", "'master' runs netmaster and netplugin"),
                _setting("listen_url", ":9999", "where netmaster listens for HTTP"),
                _setting("plugin_name", "contiv/v2plugin:latest", "driver name: the plugin's own name:tag"),
            ],
            "mounts": [
                {"type": "bind", "options": ["rbind"], "source": path, "destination": path}
                for path in CONTIV_PRIVILEGES["mount"]
            ],
            "interface": {
                "types": ["docker.networkdriver/1.0", "docker.ipamdriver/1.0"],
                "socket": "netplugin.sock",
            },
            "Linux": {"Capabilities": CONTIV_PRIVILEGES["capabilities"]},
        },
    )
    return folder


def volume_plugin(folder: Path, *, version: str = "1", network: str = "", capabilities: Sequence[str] = ()) -> Path:
    """Write a volume driver that works once enabled into `folder` and return `folder`.

    Unless `network` or `capabilities` are given, the plugin needs no privileges and engines install it without a
    prompt.

    Args:
        folder: Existing or new folder.
        version: Text that `docker volume inspect` shows as `Status.version`.
        network: Network type of the plugin, such as `host`.
        capabilities: Linux capabilities that the plugin asks for.
    """
    rootfs = folder / "rootfs"
    (rootfs / "run/docker/plugins").mkdir(parents=True)
    (rootfs / "volumes").mkdir()
    (rootfs / "version").write_text(f"{version}\n")
    driver = rootfs / "volume-driver"
    driver.write_bytes(_volume_driver())
    driver.chmod(0o755)
    _write_config(
        folder,
        {
            "Description": f"Volumes in memory, version {version}",
            "Documentation": "",
            "Entrypoint": ["/volume-driver", "/run/docker/plugins/volumes.sock"],
            "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "volumes.sock"},
            "Linux": {"Capabilities": list(capabilities)},
            "Network": {"Type": network},
        },
    )
    return folder


def _setting(name: str, value: str, description: str) -> dict[str, object]:
    return {"Name": name, "Description": description, "Settable": ["value"], "Value": value}


def _write_config(folder: Path, config: Mapping[str, object]) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


@functools.cache
def _volume_driver() -> bytes:
    with tempfile.TemporaryDirectory(prefix="volume-driver-") as folder:
        program = Path(folder) / "volume-driver"
        # A static program, since the plugin's root filesystem has no libraries.
        command = [COMPILER, "-std=gnu11", "-Wall", "-Wextra", "-Os", "-s", "-static", "-pthread"]
        done = subprocess.run(
            [*command, "-o", str(program), str(VOLUME_DRIVER_SOURCE)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the volume driver does not compile:\n{done.stderr}")
        return program.read_bytes()
