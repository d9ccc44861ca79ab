"""Plugins with settings of a host: what an upgrade keeps, and what is captured, with real engines."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine]

SOCKET = "/run/docker/plugins/volumes.sock"


def env(name: str, value: str, *, settable: bool = True) -> dict[str, Any]:
    return {"Name": name, "Value": value, "Settable": ["value"] if settable else None}


def mount(name: str, source: str, destination: str) -> dict[str, Any]:
    bind = {"Type": "bind", "Options": ["rbind"], "Settable": ["source"] if name else None}
    return {"Name": name, "Source": source, "Destination": destination, **bind}


def device(name: str, path: str) -> dict[str, Any]:
    return {"Name": name, "Path": path, "Settable": ["path"]}


ONE: dict[str, Any] = {
    "Args": {"Name": "args", "Value": [SOCKET], "Settable": ["value"]},
    "Entrypoint": ["/volume-driver"],
    "Env": [
        env("SAME", "a"),
        env("CHANGED", "1"),
        env("GONE", "g"),
        env("MINE", "d"),
        env("FIXED", "1", settable=False),
    ],
    "Linux": {"Capabilities": ["CAP_SYS_TIME"], "Devices": [device("dev", "/dev/null"), device("old", "/dev/zero")]},
    "Mounts": [mount("data", "/srv", "/mnt/data"), mount("", "/opt", "/mnt/opt"), mount("", "/media", "/mnt/old")],
    "PropagatedMount": "/shared",
    "WorkDir": "/work/one",
}
TWO: dict[str, Any] = {
    "Args": {"Name": "args", "Value": [SOCKET.replace("/docker", "/./docker")], "Settable": ["value"]},
    "Entrypoint": ["/./volume-driver"],
    "Env": [
        *(env("SAME", "a"), env("CHANGED", "two words"), env("MINE", "d2"), env("NEW", "$n ${X} %NAME%")),
        *(env("FIXED", "2", settable=False), env("FIXED_NEW", "f", settable=False)),
    ],
    "Linux": {"Capabilities": ["CAP_SYS_NICE"], "Devices": [device("dev", "/dev/full"), device("new", "/dev/random")]},
    "Mounts": [mount("data", "/home", "/mnt/data"), mount("", "/usr", "/mnt/opt"), mount("new", "/tmp", "/mnt/new")],
    "Network": {"Type": "host"},
    "PidHost": True,
    "PropagatedMount": "/shared/two",
    "WorkDir": "/work/two",
}


def driver(folder: Path, config: dict[str, Any]) -> Path:
    """Write the folder of a working volume driver with other values in its config."""
    require(plugins.missing())
    plugins.volume_plugin(folder)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return folder


def packed(mirror: Mirror, folder: Path, name: str) -> str:
    """Pack a folder. Return the reference for a Docker host."""
    mirror.command("pack", str(folder), "-t", name)
    return f"{mirror.host}/{name}"


def in_use(engine: Engine, name: str) -> dict[str, Any]:
    """Return the values with which an enabled plugin runs."""
    spec = engine.running_spec(name)
    process, linux = spec["process"], spec["linux"]
    known = ("CAP_SYS_TIME", "CAP_SYS_NICE")
    return {
        "args": process["args"],
        "env": {text.partition("=")[0]: text.partition("=")[2] for text in process["env"]},
        "cwd": process["cwd"],
        "capabilities": [name for name in process["capabilities"]["bounding"] if name in known],
        "mounts": {
            one["destination"]: one["source"] for one in spec["mounts"] if one["destination"].startswith("/mnt")
        },
        "shared": [one["destination"] for one in spec["mounts"] if one["source"].endswith("/propagated-mount")],
        "devices": [one["path"] for one in linux.get("devices", [])],
        "own_namespaces": {one["type"] for one in linux["namespaces"]} & {"network", "pid"},
    }


def test_the_printed_commands_upgrade_a_plugin_and_the_rest_needs_an_install(
    engine: Engine, mirror: Mirror, tmp_path: Path
) -> None:
    one = packed(mirror, driver(tmp_path / "1", ONE), "up/x:1")
    two = packed(mirror, driver(tmp_path / "2", TWO), "up/x:2")
    unasked = ("install", "--grant-all-permissions", "--alias")
    engine.docker("plugin", *unasked, "up:it", one, "data=/var/tmp", "dev=/dev/urandom", "MINE=m")
    engine.docker("plugin", *unasked, "fresh", two)
    wanted = in_use(engine, "fresh")
    plugin = engine.folder / "data/plugins" / engine.inspect_plugin("up:it")["Id"]
    for place in ("rootfs", "propagated-mount"):
        (plugin / place / "written").touch()

    told = mirror.command("diff", one, two, "--upgrade", "--alias", "up:it", "--json", check=False)
    plan = json.loads(told.stdout)["upgrade"]
    # The host has set MINE itself, so its operator omits the new default.
    commands = [command.replace(" MINE=d2", "") for command in plan["commands"]]
    engine.shell("\n".join(commands), input_text="y\n")

    found = in_use(engine, "up:it")
    applied = ("args", "cwd", "capabilities", "mounts", "shared", "own_namespaces")
    assert {what: found[what] for what in applied} == {what: wanted[what] for what in applied}
    assert found["mounts"]["/mnt/data"] == "/home"  # not /var/tmp, which the host had set
    assert plan["reset"] == ["data=/home"]
    assert found["env"] == {
        **{name: value for name, value in wanted["env"].items() if name != "FIXED_NEW"},
        "MINE": "m",
        "FIXED": "1",
        "GONE": "g",
    }
    assert found["env"]["NEW"] == "$n ${X} %NAME%"  # engines fill no placeholder
    assert found["devices"] == ["/dev/urandom", "/dev/zero"]
    assert {change["what"]: (change["stays"], change["wanted"]) for change in plan["not_applied"]} == {
        "env GONE": ("g", None),
        "env FIXED": ("1", "2"),
        "env FIXED_NEW": (None, "f"),
        "device dev": ("/dev/null", "/dev/full"),
        "device old": ("/dev/zero", None),
        "device new": (None, "/dev/random"),
    }
    assert not (plugin / "rootfs/written").exists()
    assert (plugin / "propagated-mount/written").exists()

    told = mirror.command(
        "capture", "up:it", "-t", "up/taken:2", "--docker-root", str(engine.folder / "data"), "--json"
    )
    captured = json.loads(told.stdout)
    assert (captured["verbatim"], captured["settings"]) == (True, ["MINE=m", "dev=/dev/urandom"])
    assert captured["notes"][0].endswith(": env GONE, env FIXED, device old")
    assert " FIXED_NEW;" in captured["notes"][1]

    # A device cannot be set after an upgrade, although the engine accepts the command.
    engine.shell("docker plugin disable up:it; docker plugin set up:it dev=/dev/full; docker plugin enable up:it")
    assert in_use(engine, "up:it")["devices"] == ["/dev/urandom", "/dev/zero"]

    engine.shell("\n".join(plan["reinstall"]), input_text="y\n")
    assert in_use(engine, "up:it") == wanted
    for name in ("up:it", "fresh"):
        engine.docker("plugin", "disable", "-f", name)
        engine.docker("plugin", "rm", name)


@contextmanager
def growing(file: Path) -> Iterator[None]:
    """Append to a file during the block, as a plugin does that writes its own log."""
    done = threading.Event()

    def write() -> None:
        with file.open("a", buffering=1) as log:
            while not done.wait(0.001):
                log.write("a line\n")

    file.touch()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


def test_a_plugin_with_settings_is_captured_with_its_defaults(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    folder = driver(tmp_path / "set", ONE)
    # Folders that the plugin ships empty. Enabling adds to dev and work, and nothing to the others.
    for place in ("mnt/opt", "lib", "dev", "work"):
        (folder / "rootfs" / place).mkdir(parents=True)
    shutil.rmtree(folder / "rootfs/run")  # enabling makes it, with the folders below
    # Unpacked after the folders. Their births would otherwise be in one tick of the clock with that of the plugin.
    (folder / "rootfs/zeros").write_bytes(bytes(16 * 1024 * 1024))
    name = packed(mirror, folder, "set/x:1")
    given = ["MINE=m", "data=/home", "dev=/dev/full"]
    engine.docker("plugin", "install", "--grant-all-permissions", "--alias", "set", name, *given)
    engine.docker("plugin", "create", "other", str(plugins.contiv_plugin(tmp_path / "other")))
    engine.docker("plugin", "rm", "other")  # the engine deletes the layers of all installed plugins
    log = engine.folder / "data/plugins" / engine.inspect_plugin("set")["Id"] / "rootfs/log"

    new_name = f"{mirror.host}/set/y:1"
    root = str(engine.folder / "data")
    with growing(log):
        captured = json.loads(mirror.command("capture", "set", "-t", new_name, "--docker-root", root, "--json").stdout)
    assert (captured["verbatim"], captured["settings"]) == (False, given)
    assert not any("defaults" in note for note in captured["notes"])

    shown = [json.loads(mirror.command("inspect", name, "--json").stdout) for name in ("set/x:1", "set/y:1")]
    assert shown[0]["privileges"] == shown[1]["privileges"]
    assert shown[0]["settings"] == shown[1]["settings"]
    difference = json.loads(mirror.command("diff", "set/x:1", "set/y:1", "--json").stdout)
    assert [(change["path"], change["how"]) for change in difference["files"]] == [("log", "added")]

    before = in_use(engine, "set")
    engine.docker("plugin", "disable", "-f", "set")
    engine.docker("plugin", "rm", "set")
    engine.docker("plugin", "install", "--grant-all-permissions", "--alias", "set", new_name, *captured["settings"])
    assert in_use(engine, "set") == before
    engine.docker("plugin", "disable", "-f", "set")
    engine.docker("plugin", "rm", "set")
