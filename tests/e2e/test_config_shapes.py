"""Shapes of configs that an engine enables or not, compared with the findings of lint.

A faulty plugin fails with the message that the finding quotes, and its repaired copy is enabled. All failures come from
the runtime, within a second.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.changed_plugins import (
    Change,
    Config,
    Fault,
    findings_of,
    members,
    mounts,
    with_mended,
    write_changed,
)
from tests.harness.command import CompletedRun
from tests.harness.engine import Engine
from tests.harness.requirement import require

# All engines give the plugin to the same runtime, which makes the mounts.
pytestmark = [pytest.mark.e2e, pytest.mark.newest_engine]

SOCKET = "/run/docker/plugins/volumes.sock"
NOT_A_FOLDER = "error mounting .*: not a directory"
NO_SUCH_DEVICE = "error mounting .*: no such device"
NO_NODE = "error gathering device information while adding custom device"


def unbound(kind: str, source: str = "/tmp", *options: str) -> Change:
    """Add a mount without a bind option."""
    return mounts({"Type": kind, "Source": source, "Options": options})


def env(name: str, value: str) -> Change:
    """Add a variable."""
    return members(Env=[{"Name": name, "Value": value}])


def device(path: str) -> Change:
    """Add a device."""
    return members(Linux={"Devices": [{"Name": "d", "Path": path}]})


def files(*names: str) -> Change:
    """Add files to the root filesystem."""

    def change(_: Config, rootfs: Path) -> None:
        for name in names:
            (rootfs / name).parent.mkdir(parents=True, exist_ok=True)
            (rootfs / name).touch()

    return change


def moved(config: Config, rootfs: Path) -> None:
    """Move the driver into a folder of its own."""
    (rootfs / "bin").mkdir()
    (rootfs / "volume-driver").rename(rootfs / "bin/volume-driver")
    config["Entrypoint"] = ["/bin/volume-driver", SOCKET]


def both(*changes: Change) -> Change:
    """Make several changes."""

    def change(config: Config, rootfs: Path) -> None:
        for one in changes:
            one(config, rootfs)

    return change


SHAPES = [
    Fault(
        "nameless-program", members(Entrypoint=["", SOCKET]), "entrypoint-empty", 'exec: "": executable file not found'
    ),
    Fault("propagated-root", members(PropagatedMount="/"), "propagated-mount-root", "pivot_root .: invalid argument"),
    Fault(
        "propagated-program",
        both(moved, members(PropagatedMount="/bin")),
        "program-hidden",
        r'exec: "/bin/volume-driver": stat /bin/volume-driver: no such file',
        both(moved, members(PropagatedMount="/volumes")),
    ),
    Fault("propagated-file", both(files("f"), members(PropagatedMount="/f")), "mount-not-a-folder", NOT_A_FOLDER),
    Fault(
        "propagated-below", both(files("f"), members(PropagatedMount="/f/x")), "mount-not-a-folder", "not a directory"
    ),
    Fault("propagated-proc", members(PropagatedMount="/proc/x"), "mount-in-proc", "is inside /proc"),
    Fault("propagated-dev", members(PropagatedMount="/dev"), "mount-over-dev", "unable to setup user: stat /dev/null"),
    Fault("type-none", unbound("none"), "mount-unbound", NO_SUCH_DEVICE, mounts({"Type": "none"})),
    Fault("type-upper", unbound("BIND"), "mount-unbound", NO_SUCH_DEVICE, mounts({"Type": "BIND"})),
    Fault("type-disk", unbound("ext4"), "mount-type", "error mounting .*: block device required"),
    Fault("type-case", unbound("TMPFS"), "mount-type", NO_SUCH_DEVICE, unbound("tmpfs")),
    Fault(
        "type-overlay",
        unbound("overlay"),
        "mount-type",
        "invalid argument",
        unbound("overlay", "o", "lowerdir=/tmp:/var"),
    ),
    Fault("at-root", mounts({"Destination": "/"}), "mount-destination-root", "error closing exec fds"),
    Fault("at-proc", mounts({"Destination": "/proc"}), "mount-in-proc", "is not of type proc"),
    Fault("in-proc", mounts({"Destination": "/proc/x"}), "mount-in-proc", "is inside /proc"),
    Fault("at-dev", mounts({"Destination": "/dev"}), "mount-over-dev", "unable to setup user: stat /dev/null"),
    Fault(
        "file-over-folder",
        mounts({"Source": "/etc/hosts", "Destination": "/volumes"}),
        "mount-not-a-file",
        NOT_A_FOLDER,
        mounts({"Source": "/etc/hosts", "Destination": "/new/hosts"}),
    ),
    Fault(
        "folder-over-file",
        both(files("f"), mounts({"Destination": "/f"})),
        "mount-not-a-folder",
        NOT_A_FOLDER,
        both(files("f"), mounts({"Source": "/etc/hosts", "Destination": "/f"})),
    ),
    Fault("folder-over-made-file", mounts({"Destination": "/etc/hosts"}), "mount-not-a-folder", NOT_A_FOLDER),
    Fault(
        "file-over-made-folder",
        mounts({"Source": "/etc/hosts", "Destination": "/etc"}),
        "mount-not-a-file",
        NOT_A_FOLDER,
    ),
    Fault("below-file", both(files("f"), mounts({"Destination": "/f/x"})), "mount-not-a-folder", "not a directory"),
    Fault(
        "hosts-folder",
        both(files("etc/hosts/x"), members(Network={"Type": "host"})),
        "mount-not-a-file",
        NOT_A_FOLDER,
        both(files("etc/hosts"), members(Network={"Type": "host"})),
    ),
    Fault(
        "empty-over-program",
        both(moved, mounts({"Type": "tmpfs", "Source": "tmpfs", "Destination": "/bin", "Options": []})),
        "program-hidden",
        r'exec: "/bin/volume-driver": stat',
        both(moved, mounts({"Type": "tmpfs", "Source": "tmpfs", "Options": []})),
    ),
    Fault(
        "work-dir-file", both(files("f"), members(WorkDir="/f")), "work-dir-not-a-folder", "mkdir /f: not a directory"
    ),
    Fault(
        "kernel-over-program",
        both(moved, mounts({"Source": "/sys", "Destination": "/bin"})),
        "program-hidden",
        r'exec: "/bin/volume-driver": stat',
        both(moved, mounts({"Source": "/sys"})),
    ),
    Fault("env-nameless", env("", "x"), "env-nameless", "environment variable name can't be empty", env("A", "x")),
    Fault("env-zero", env("A", "x\0"), "zero-byte", "can't contain null", env("A", "x")),
    Fault("work-dir-zero", members(WorkDir="/\0"), "zero-byte", "mkdir /.*: invalid argument", members(WorkDir="/x")),
    Fault("mount-zero", mounts({"Destination": "/m\0"}), "zero-byte", "null byte", mounts({})),
    Fault("device-empty", device(""), "device-path-empty", NO_NODE, device("/dev/null")),
    Fault("device-file", device("/etc/hosts"), "device-not-a-node", f"{NO_NODE} .*: not a device node"),
    Fault("socket-control", members(Interface={"Socket": "a\tb"}), "socket-name", "invalid control character in URL"),
]
#: Plugins that an engine enables, with the codes of their findings that are warnings.
ENABLED: dict[str, tuple[Change, list[str]]] = {
    "mount-relative": (mounts({"Destination": "m"}), []),
    "mount-empty": (mounts({"Source": ""}), ["mount-source-empty"]),
    "mount-dev": (mounts({"Source": "/dev", "Destination": "/dev"}), []),
    "mount-proc": (mounts({"Source": "/proc", "Destination": "/proc"}), ["mount-reach"]),
    "mount-twice": (mounts({}, {"Source": "/var"}), []),
    "mount-kernel": (unbound("proc", "proc"), ["mount-reach"]),
    "propagated-relative": (members(PropagatedMount="volumes"), ["propagated-mount-spelling"]),
    "work-dir-absent": (members(WorkDir="/nope/x"), []),
    "env-equals": (env("A=B", "x"), ["env-name"]),
    "mount-tmpfs-dev": (mounts({"Type": "tmpfs", "Source": "tmpfs", "Destination": "/dev", "Options": []}), []),
    "env-twice": (members(Env=[{"Name": "A", "Value": "1"}, {"Name": "A", "Value": "2"}]), ["env-twice"]),
    "env-unset": (members(Env=[{"Name": "", "Value": None}]), []),
    "capabilities-twice": (members(Linux={"Capabilities": ["CAP_SYS_ADMIN"] * 2}), []),
    # Not /dev/pts: an engine cannot create the devices of terminals that other programs have open.
    "device-folder": (device("/dev/net"), []),
    "socket-slashes": (
        members(Interface={"Types": ["docker.volumedriver/1.0"], "Socket": f"{'./' * 20}volumes.sock"}),
        [],
    ),
}


def found(folder: Path, severity: str) -> set[str]:
    """Return the codes of the findings of one severity for a folder."""
    return {finding.code for finding in findings_of(folder) if finding.severity.value == severity}


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    require(plugins.missing())


@pytest.fixture(scope="module")
def enabled(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, CompletedRun]]:
    """Results of enabling each plugin, by its name. Each plugin is removed at once, so that few run together."""
    folder = tmp_path_factory.mktemp("plugins")
    made = with_mended(SHAPES) | {name: change for name, (change, _) in ENABLED.items()}

    def enable(name: str) -> CompletedRun:
        reference = f"shapes/{name}:1"
        engine.docker("plugin", "create", reference, str(write_changed(folder / name, made[name])))
        tried = engine.docker("plugin", "enable", reference, check=False)
        engine.docker("plugin", "rm", "-f", reference)
        return tried

    with ThreadPoolExecutor(8) as pool:
        yield dict(zip(made, pool.map(enable, made), strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_faulty_shape_is_an_error(shape: Fault, enabled: dict[str, CompletedRun], tmp_path: Path) -> None:
    assert shape.code in found(write_changed(tmp_path / "faulty", shape.change), "error")
    assert enabled[shape.name].exit_code == 1
    assert re.search(shape.seen, enabled[shape.name].stderr)

    assert not found(write_changed(tmp_path / "mended", shape.mended), "error")
    assert enabled[shape.name_mended].exit_code == 0


@pytest.mark.parametrize("name", ENABLED)
def test_a_shape_that_an_engine_enables_is_no_error(
    name: str, enabled: dict[str, CompletedRun], tmp_path: Path
) -> None:
    change, warnings = ENABLED[name]
    folder = write_changed(tmp_path / "plugin", change)
    assert (found(folder, "error"), found(folder, "warning")) == (set(), set(warnings))
    assert enabled[name].exit_code == 0, enabled[name].stderr


def test_a_container_starts_only_with_volumes_below_the_propagated_mount(engine: Engine, tmp_path: Path) -> None:
    """The driver tells the engine paths below /volumes. The engine compares them with PropagatedMount as texts."""

    def run_with_volume(name: str, propagated_mount: str) -> CompletedRun:
        folder = write_changed(tmp_path / name, members(PropagatedMount=propagated_mount))
        reference = f"shapes/{name}:1"
        engine.docker("plugin", "create", reference, str(folder))
        engine.docker("plugin", "enable", reference)
        engine.docker("volume", "create", "--driver", reference, name)
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            archive.add(folder / "rootfs/volume-driver", "volume-driver")
        engine.docker("import", str(tmp_path / f"{name}.tar"), f"{name}:1")
        arguments = ("--rm", "--network", "none", "--volume", f"{name}:/data", f"{name}:1", "/volume-driver")
        return engine.docker("run", *arguments, check=False)

    assert "usage: volume-driver" in run_with_volume("absolute", "/volumes").stderr
    assert re.search(r"/rootfs/volumes/relative: no such file", run_with_volume("relative", "volumes").stderr)
