"""Findings of lint compared with the behaviour of engines.

Faulty plugins fail when they are enabled, with the predicted message. The repaired plugins can be enabled.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mirror.plugin.rootfs.platform import Platform
from mirror.plugin.rootfs.program import ProgramReader
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
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.requirement import require
from tests.support.rootfs import elf

pytestmark = [pytest.mark.e2e, pytest.mark.newest_engine]

TINI = "/usr/bin/tini-static"
TYPE = "docker.volumedriver/1.0"
SOCKETS = "/run/docker/plugins"
NO_SUCH_FILE = r"dial unix \S+/volumes\.sock: connect: no such file or directory"


def mount(**given: Any) -> Change:
    """Add one mount with the given members."""
    return mounts(given)


def socket(name: str) -> Change:
    """Use the same socket name in the config and for the driver."""
    return members(Entrypoint=["/volume-driver", f"{SOCKETS}/{name}"], Interface={"Types": [TYPE], "Socket": name})


def script(line: str) -> Change:
    """Replace the entrypoint with a script that begins with `line`. /interpreter is a link to the driver."""

    def change(config: Config, rootfs: Path) -> None:
        (rootfs / "start").write_text(f"{line}# listens on volumes.sock\n", newline="")
        (rootfs / "start").chmod(0o755)
        (rootfs / "interpreter").symlink_to("volume-driver")
        config["Entrypoint"] = ["/start"]

    return change


def program(content: bytes) -> Change:
    """Replace the driver with content that names the socket but does not run."""

    def change(_: Config, rootfs: Path) -> None:
        (rootfs / "volume-driver").write_bytes(content)

    return change


def without_libraries(_: Config, rootfs: Path) -> None:
    """Replace the driver with a dynamic program of this machine and its loader, without libraries."""
    content = Path("/bin/ls").read_bytes()
    reader = ProgramReader()
    reader.feed(content, 0, len(content))
    found = reader.finish().elf
    assert found is not None
    assert found.interpreter is not None
    loader = rootfs / found.interpreter.lstrip("/")
    loader.parent.mkdir(parents=True)
    loader.write_bytes(Path(found.interpreter).read_bytes())
    loader.chmod(0o755)
    (rootfs / "volume-driver").write_bytes(content)


def shell(rootfs: Path, name: str) -> None:
    """Add a shell with its loader and libraries to the root filesystem."""
    told = subprocess.run(["ldd", name], capture_output=True, text=True, check=True).stdout
    for path in (name, *re.findall(r"/\S+", told)):
        place = rootfs / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(Path(path).read_bytes())
        place.chmod(0o755)


def under_tini(*further: Change) -> Change:
    """Start the driver with a small init program."""

    def change(config: Config, rootfs: Path) -> None:
        (rootfs / "tini").write_bytes(Path(TINI).read_bytes())
        (rootfs / "tini").chmod(0o755)
        config["Entrypoint"] = ["/tini", "--", "/volume-driver", DRIVER_SOCKET]
        for one in further:
            one(config, rootfs)

    return change


def start_script(text: str, *further: Change, shell_name: str = "/bin/sh", **given: Any) -> Change:
    """Replace the entrypoint with a shell script. A member Entrypoint that is given replaces it again."""

    def change(config: Config, rootfs: Path) -> None:
        shell(rootfs, shell_name)
        (rootfs / "start.sh").write_text(f"#!{shell_name}\n{text}")
        (rootfs / "start.sh").chmod(0o755)
        config.update({"Entrypoint": ["/start.sh"]} | given)
        for one in further:
            one(config, rootfs)

    return change


def mode(bits: int) -> Change:
    """Set the permissions of the driver."""

    def change(_: Config, rootfs: Path) -> None:
        (rootfs / "volume-driver").chmod(bits)

    return change


DRIVER_SOCKET = f"{SOCKETS}/volumes.sock"
EXEC = f"echo starting\nexec /volume-driver {DRIVER_SOCKET}\n"
BACKGROUND = f"""
trap exit TERM
while true; do
    /volume-driver {DRIVER_SOCKET}
    read nothing < "$PIPE" # waits for nobody
done &
wait
"""
PATH_IS_ROOT: Config = {"Env": [{"Name": "PATH", "Value": "/:/bin"}]}
# Like contiv's script of 2017: an uplink that is empty by default, before the address of the cluster store.
SWALLOWING = f"/show -mode docker -uplink $uplink -store $store -last end\nexec /volume-driver {DRIVER_SOCKET}\n"
SHOW = """#!/bin/sh
while [ $# -gt 0 ]; do
    case "$1" in
        -*) echo "flag $1 has [$2]"; shift 2 ;;
        *) echo "stopped at $1"; exit 0 ;;
    esac
done
echo "read to the end"
"""


def swallowing(uplink: str) -> Change:
    """Return a change that passes settings to a program as Go's flag parser reads them, with this default."""

    def change(config: Config, rootfs: Path) -> None:
        settings = [("uplink", uplink), ("store", "etcd://store:2379")]
        env = [{"Name": name, "Value": value, "Settable": ["value"]} for name, value in settings]
        start_script(SWALLOWING, Env=env)(config, rootfs)
        (rootfs / "show").write_text(SHOW)
        (rootfs / "show").chmod(0o755)

    return change


def demanding(store: str) -> Change:
    """Return a change that demands a setting in the start script, with this default."""
    env = [{"Name": "store", "Value": store, "Settable": ["value"]}]
    return start_script(f': "${{store:?}}"\nexec /volume-driver {DRIVER_SOCKET}\n', Env=env)


FAULTS = [
    Fault("empty", members(Entrypoint=[]), "entrypoint-empty", "args must not be empty"),
    Fault("absent", members(Entrypoint=["/nope"]), "entrypoint-missing", r'exec: "/nope": stat /nope: no such file'),
    Fault("bare", members(Entrypoint=["nope"]), "entrypoint-missing", r"executable file not found in \$PATH"),
    Fault("mode", mode(0o644), "entrypoint-not-executable", r'exec: "/volume-driver": permission denied'),
    Fault("folder", members(Entrypoint=["/volumes"]), "entrypoint-not-executable", r'"/volumes": permission denied'),
    Fault("text", script("echo "), "entrypoint-no-program", NO_SUCH_FILE),
    Fault("crlf", script("#!/interpreter\r\n"), "interpreter-missing", NO_SUCH_FILE),
    Fault("script", script("#!/bin/sh\n"), "interpreter-missing", NO_SUCH_FILE),
    Fault("dynamic", program(elf(loader="/lib/ld.so", needed=["libc.so"])), "loader-missing", NO_SUCH_FILE),
    Fault("libraries", without_libraries, "libraries-missing", NO_SUCH_FILE),
    Fault("machine", program(elf(183)), "platform-wrong", NO_SUCH_FILE),
    Fault(
        "exec",
        start_script(EXEC, program(elf(loader="/lib/ld.so"))),
        "loader-missing",
        NO_SUCH_FILE,
        start_script(EXEC),
    ),
    Fault(
        "bash",
        start_script(EXEC, program(elf(loader="/lib/ld.so")), shell_name="/bin/bash"),
        "loader-missing",
        NO_SUCH_FILE,
        start_script(EXEC, shell_name="/bin/bash"),
    ),
    Fault(
        "background",
        start_script(BACKGROUND, program(elf(loader="/lib/ld.so"))),
        "loader-missing",
        NO_SUCH_FILE,
        start_script(BACKGROUND),
    ),
    Fault("demand", demanding(""), "setting-demanded", NO_SUCH_FILE, demanding("etcd://store:2379")),
    Fault("child", under_tini(program(elf(183))), "platform-wrong", NO_SUCH_FILE, under_tini()),
    Fault(
        "command",
        start_script("", Entrypoint=["/bin/sh", "-c", f"exec driver {DRIVER_SOCKET}"]),
        "program-missing",
        NO_SUCH_FILE,
        start_script("", Entrypoint=["/bin/sh", "-c", f"exec volume-driver {DRIVER_SOCKET}"], **PATH_IS_ROOT),
    ),
    Fault("child-mode", start_script(EXEC, mode(0o644)), "program-not-executable", NO_SUCH_FILE, start_script(EXEC)),
    Fault(
        "work-dir", members(WorkDir="run"), "work-dir-relative", "Cwd must be an absolute path", members(WorkDir="/run")
    ),
    Fault(
        "nameless", members(Interface={"Types": [TYPE]}), "socket-empty", r"plugins/\w{64}: connect: connection refused"
    ),
    Fault("long", socket("a" * 23), "socket-long", "connect: invalid argument", socket("a" * 22)),
    Fault(
        "path", members(Interface={"Types": [TYPE], "Socket": f"{SOCKETS}/volumes.sock"}), "socket-long", "is too long"
    ),
    Fault("null", mount(Source=None), "mount-source-missing", "mount source is not specified", mount()),
    Fault("unbound", mount(Options=[]), "mount-unbound", r'error mounting "/tmp" .*: no such device', mount()),
    Fault("relative", mount(Source="tmp"), "mount-source-relative", "error mounting .*: no such file", mount()),
    Fault(
        "nowhere", mount(Destination=""), "mount-destination-empty", "error closing exec fds", mount(Destination="/m")
    ),
    Fault("host", mount(Source="/nope"), "host-paths", r"stat /nope: no such file or directory"),
    Fault(
        "device",
        members(Linux={"Devices": [{"Name": "d", "Path": "/dev/nope"}]}),
        "host-paths",
        '"/dev/nope": no such file',
    ),
    Fault(
        "elsewhere",
        members(Interface={"Types": [TYPE], "Socket": "elsewhere.sock"}),
        "socket-unmentioned",
        r"/elsewhere\.sock: connect: no such file",
    ),
]
ENABLED_ALL_THE_SAME = {
    "capability-unknown": members(Linux={"Capabilities": ["SYS_ADMIN"]}),
    "type-mangled": members(Interface={"Types": ["docker.volumedriver"], "Socket": "volumes.sock"}),
    "types-missing": members(Interface={"Types": None, "Socket": "volumes.sock"}),
    "plugins-folder-hidden": mount(Destination=SOCKETS),
    "user-ignored": members(User={"UID": 1000, "GID": 1000}),
    "network-type": members(Network={"Type": "bridge"}),
    "flag-swallowed": swallowing(""),
}
#: The mended form of "flag-swallowed".
WITH_UPLINK = swallowing("eth1")


def found(folder: Path, hosts: Platform | None = None) -> list[str]:
    """Return the codes of the findings for a folder."""
    return [finding.code for finding in findings_of(folder, hosts)]


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    require(plugins.missing())
    require(None if Path(TINI).exists() else f"{TINI} is missing (Debian: apt-get install tini)")


@pytest.fixture(scope="module")
def enabled(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, CompletedRun]]:
    """Results of enabling each plugin, by its name.

    All plugins are enabled at the same time, since engines wait up to 23 s for a socket.
    """
    folder = tmp_path_factory.mktemp("plugins")
    made = with_mended(FAULTS) | ENABLED_ALL_THE_SAME | {"uplink": WITH_UPLINK}
    folders = {name: write_changed(folder / name, change) for name, change in made.items()}

    def enable(name: str) -> CompletedRun:
        engine.docker("plugin", "create", f"lint/{name}:1", str(folders[name]))
        return engine.docker("plugin", "enable", f"lint/{name}:1", check=False)

    with ThreadPoolExecutor(len(made)) as pool:
        yield dict(zip(made, pool.map(enable, made), strict=True))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_predicted_and_mended(fault: Fault, enabled: dict[str, CompletedRun], tmp_path: Path) -> None:
    hosts = Platform("linux", "amd64") if fault.code == "platform-wrong" else None
    assert found(write_changed(tmp_path / "faulty", fault.change), hosts) == [fault.code]
    tried = enabled[fault.name]
    assert tried.exit_code == 1
    assert re.search(fault.seen, tried.stderr)

    assert found(write_changed(tmp_path / "mended", fault.mended), hosts) == []
    assert enabled[fault.name_mended].exit_code == 0


@pytest.mark.parametrize("code", ENABLED_ALL_THE_SAME)
def test_what_an_engine_enables_without_a_word(code: str, enabled: dict[str, CompletedRun], tmp_path: Path) -> None:
    assert found(write_changed(tmp_path / "plugin", ENABLED_ALL_THE_SAME[code])) == [code]
    assert enabled[code].exit_code == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("exec", "/start.sh: 3: exec: /volume-driver: not found"),
        ("bash", "/start.sh: line 3: /volume-driver: cannot execute: required file not found"),
        ("background", "/start.sh: 5: /volume-driver: not found"),
        ("demand", "/start.sh: 2: store: parameter not set or null"),
        ("child", "exec /volume-driver failed: No such file or directory"),
        ("command", "exec: driver: not found"),
        ("child-mode", "exec: /volume-driver: Permission denied"),
    ],
)
def test_the_cause_is_in_the_log_of_the_daemon(
    name: str, said: str, engine: Engine, enabled: dict[str, CompletedRun]
) -> None:
    assert enabled[name].exit_code == 1
    log = logged(engine, f"lint/{name}:1")
    assert said in log, log


def test_an_empty_setting_swallows_the_next_flag(
    engine: Engine, enabled: dict[str, CompletedRun], tmp_path: Path
) -> None:
    (told,) = findings_of(write_changed(tmp_path / "empty", swallowing("")))
    assert told.text.startswith("/start.sh, line 2: the value of -uplink is the setting uplink")
    assert "so -uplink takes -store" in told.text
    shown = logged(engine, "lint/flag-swallowed:1")
    assert "flag -uplink has [-store]" in shown
    assert "stopped at etcd://store:2379" in shown

    assert found(write_changed(tmp_path / "mended", WITH_UPLINK)) == []
    assert enabled["uplink"].exit_code == 0
    shown = logged(engine, "lint/uplink:1")
    assert "flag -store has [etcd://store:2379]" in shown
    assert "read to the end" in shown


def logged(engine: Engine, plugin: str) -> str:
    """Return the lines of the daemon's log with the output of a plugin."""
    identity = engine.inspect_plugin(plugin)["Id"]
    return "\n".join(line for line in engine.log.read_text(errors="replace").splitlines() if identity in line)


def test_names_that_delete_others_do_so_at_the_install(engine: Engine, mirror: Mirror, tmp_path: Path) -> None:
    def whiteout(config: Config, rootfs: Path) -> None:
        (rootfs / "volume-driver").rename(rootfs / ".driver")
        (rootfs / ".wh..driver").touch()
        config["Entrypoint"] = ["/.driver", f"{SOCKETS}/volumes.sock"]

    reference = f"{mirror.host}/lint/whiteout:1"
    assert found(write_changed(tmp_path / "plugin", whiteout)) == ["entrypoint-missing", "whiteouts"]
    engine.docker("plugin", "create", reference, str(tmp_path / "plugin"))
    engine.docker("plugin", "push", reference)
    engine.docker("plugin", "rm", reference)
    engine.docker("plugin", "install", "--disable", reference)
    rootfs = engine.folder / "data/plugins" / engine.inspect_plugin(reference)["Id"] / "rootfs"
    assert not (rootfs / ".driver").exists()
    told = plugin_mirror("lint", reference, "--json", check=False)
    assert told.exit_code == 1
    codes = [finding["code"] for finding in json.loads(told.stdout)["findings"]]
    assert codes == ["entrypoint-missing", "diff-ids-compressed", "whiteouts"]
    engine.docker("plugin", "rm", reference)
