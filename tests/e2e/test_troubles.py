"""Every command with the troubles of a machine: one line that says what, why and what to do, and the exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mirror.cli.start.root_group import root_group
from tests.harness.disks import read_only_view, small_disk
from tests.harness.forked_commands import Ended, ForkedCommands, forked_commands
from tests.harness.requirement import require
from tests.support.plugins import CONFIG, DRIVER

pytestmark = pytest.mark.e2e

NOBODY = 65534
MIB = 1024 * 1024
REF = "acme/driver:1.0"
SETTINGS = """
server: {listen: 127.0.0.1:0, anonymous: [pull]}
storage: {path: data}
upstreams: {dead: {url: "http://127.0.0.1:9", plain_http: true}}
mirrors: [{name: r, from: dead/a/b, to: a/b, tags: {include: ["*"]}}]
"""
#: Words of libraries and of Python, which a user must never read.
LIBRARIES = re.compile(
    r"Traceback|\[Errno|\[SSL|sqlalche|sqlite3|pydantic|stamina|alembic|aiohttp|asyncio|Connect call|"
    r"database is locked|unable to open database|readonly database|disk I/O|Error: |Aborted"
)


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        line: arguments, separated by spaces; `@` stands for the option with the configuration.
        uses: `w` if the command writes the data folder, `r` if it reads it; `o` if it writes below `out`; `n` if it
            asks the network or an engine.
        sound: its exit code without any trouble.
    """

    line: str
    uses: str = ""
    sound: int = 0

    @property
    def argv(self) -> list[str]:
        return f"{self.line} ".replace(" @ ", " --config config.yaml ").split()


COMMANDS = {
    "sync": Command("sync @", "wn", 3),
    "status": Command("status @", "r", 1),
    # No server runs on the folder.
    "reload": Command("reload @", "n", 1),
    "health": Command("health --listen 127.0.0.1:9 @", "n", 1),
    "version": Command("version"),
    "completion bash": Command("completion bash"),
    "completion zsh": Command("completion zsh"),
    "completion fish": Command("completion fish"),
    "ls": Command("ls @", "r"),
    "inspect": Command(f"inspect {REF} @", "r"),
    "tag": Command(f"tag {REF} x/y:1 @", "w"),
    "sign": Command(f"sign {REF} --key key @", "w"),
    "verify": Command(f"verify {REF} --key key.pub @", "r"),
    "derive": Command(f"derive {REF} x/z:1 --env DEBUG=1 @", "w"),
    "lint": Command(f"lint {REF} @", "r"),
    "diff": Command(f"diff {REF} {REF} @", "r"),
    "pack": Command("pack folder -t p/q:1 @", "w"),
    "unpack": Command(f"unpack {REF} out/unpacked @", "ro"),
    "capture": Command("capture x -t c/c:1 --docker-root absent @", "w", 2),
    "fetch": Command("fetch -o out/f.tar --key key 127.0.0.1:9/a/b:1 @", "on", 3),
    "gc": Command("gc @", "w"),
    "backup": Command("backup out/backup @", "ro"),
    "restore": Command("restore backup --data out/restored", "o"),
    "recover": Command("recover @", "w"),
    "migrate": Command("migrate --to-config other.yaml @", "wn", 3),  # no database is there
    "pin": Command(f"pin {REF} @", "w"),
    "unpin": Command(f"unpin {REF} @", "w"),
    "stats": Command("stats @", "r"),
    "scrub": Command("scrub @", "w"),
    "rm": Command(f"rm --dry-run {REF} @", "r"),
    "doctor": Command("doctor --host 127.0.0.1:9 --socket absent.sock @", "n", 1),
    "host check": Command(f"host check 127.0.0.1:9/{REF} --socket absent.sock @", "n", 3),
    "host apply": Command("host apply host.yaml --socket absent.sock", "n", 3),
    "host schema": Command("host schema"),
    "bundle keygen": Command("bundle keygen out/new-key", "o"),
    "bundle keyset": Command("bundle keyset key.pub -o out/set.json --key key", "o"),
    "bundle trust": Command("bundle trust --list @", "r"),
    "bundle export": Command(f"bundle export -o out/e.tar --key key {REF} @", "wo"),
    "bundle sign": Command("bundle sign out/b.tar --key key", "o"),
    "bundle split": Command("bundle split b.tar -o out", "o"),
    "bundle join": Command("bundle join parts/b.tar.parts.json -o out/j.tar", "o"),
    "bundle verify": Command("bundle verify b.tar --key key.pub"),
    "bundle show": Command("bundle show b.tar --key key.pub @", "r"),
    "bundle import": Command("bundle import b.tar --key key.pub @", "w"),
    "bundle receipt": Command("bundle receipt -o out/receipt @", "ro"),
    "bundle installer": Command("bundle installer -o out/installer", "o"),
    "tls init": Command("tls init --san a.example --out out/tls", "o"),
    "tls host-setup": Command("tls host-setup m.example:5000 @", "r"),
    "tls show": Command("tls show @", "r"),
    "tls renew": Command("tls renew @", "w"),
    "tls client": Command("tls client c1 @", "w"),
    "tls revoke": Command("tls revoke c0 @", "w"),
    "admission ls": Command("admission ls @", "r"),
    "admission approve": Command("admission approve {digest} @", "w"),
    "admission reject": Command("admission reject {digest} @", "w"),
    "audit show": Command("audit show @", "r"),
    "audit verify": Command("audit verify @", "r", 2),
    "audit key": Command("audit key @", "r", 2),
    "events ls": Command("events ls @", "r"),
    "events resend": Command("events resend hook @", "w", 2),
    "pins ls": Command("pins ls @", "r"),
    "config check": Command("config check @"),
    "config show": Command("config show @"),
    "config schema": Command("config schema"),
    "user add": Command("user add bob --password-stdin @", "w"),
    "user password": Command("user password anna --password-stdin @", "w"),
    "user import": Command("user import htpasswd @", "w"),
    "user rm": Command("user rm carol @", "w"),
    "user ls": Command("user ls @", "r"),
    "token create": Command("token create anna @", "w"),
    "token revoke": Command("token revoke 12345678 @", "w", 1),
    "token ls": Command("token ls @", "r"),
    "quota ls": Command("quota ls @", "r"),
}
USES_DATA = [name for name, command in COMMANDS.items() if {"r", "w"} & set(command.uses)]
WRITES_DATA = [name for name, command in COMMANDS.items() if "w" in command.uses]
WRITES_OUT = [name for name, command in COMMANDS.items() if "o" in command.uses]
READS_CONFIG = [name for name, command in COMMANDS.items() if "@" in command.line]
#: Commands that look at an engine's folder or at the network before they look at a disk.
LOOK_ELSEWHERE_FIRST = {"capture", "fetch"}
#: Commands that may begin without a data folder, with their exit codes.
BEGIN_WITHOUT_DATA = {"sync": 3, "pack": 0, "bundle import": 0, "user add": 0, "user import": 0}


def check_lines(ended: Ended) -> list[str]:
    """Check that a command told only what a user can understand, and return the lines that tell an error."""
    assert LIBRARIES.search(ended.err) is None, ended.err
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert [line for line in errors if " fix: " not in line] == []
    return errors


@pytest.fixture(scope="module")
def commands() -> Iterator[ForkedCommands]:
    require(None if os.geteuid() == 0 else "other users need root")
    with forked_commands() as running:
        yield running


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    # Below /tmp, because other users may not enter the folders of pytest.
    with TemporaryDirectory(prefix="troubles-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def site(base: Path, commands: ForkedCommands) -> Path:
    """A folder with everything that the commands use."""
    site = base / "site"
    (site / "folder/rootfs/bin").mkdir(parents=True)
    (site / "parts").mkdir()
    (site / "out").mkdir()
    (site / "config.yaml").write_text(SETTINGS)
    (site / "other.yaml").write_text("storage: {path: data, catalog: {url: 'postgresql://127.0.0.1:9/plugins'}}\n")
    (site / "host.yaml").write_text("plugins: []\n")
    (site / "htpasswd").write_text("eve:$2y$05$abcdefghijklmnopqrstuuDEwCk0pq3Yc0UjEHvNbNnFcZQ9Zq3oC\n")
    (site / "folder/rootfs/bin/driver").write_bytes(DRIVER)
    (site / "folder/rootfs/bin/driver").chmod(0o755)
    (site / "folder/config.json").write_text(json.dumps(CONFIG))
    for line in (
        f"pack folder -t {REF} @",
        "user add anna --password-stdin @",
        "user add carol --password-stdin @",
        "bundle keygen key",
        f"bundle export -o b.tar --key key {REF} @",
        "bundle split b.tar -o parts --size 4MiB",
        "tls init --san m.example @",
        "tls client c0 @",
        "backup backup @",
    ):
        ended = commands.run(Command(line).argv, site, answers="a long password\n")
        assert ended.code == 0, ended
    return site


def copy_of(site: Path, folder: Path) -> Path:
    """Copy the site, with a folder for outputs, into a folder, which is created unless it exists."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", f"{site}/.", folder], check=True)
    shutil.copy(folder / "b.tar", folder / "out/b.tar")
    return folder


def run(commands: ForkedCommands, name: str, folder: Path, **options: object) -> Ended:
    """Run a command of the table."""
    argv = COMMANDS[name].argv
    if "{digest}" in argv:
        blobs = (folder.parent / "site/data/blobs/sha256").rglob("*")
        manifests = [blob for blob in blobs if blob.is_file() and blob.read_bytes()[:40].find(b"schemaVersion") > 0]
        argv[argv.index("{digest}")] = f"acme/driver@sha256:{manifests[0].name}"
    return commands.run(argv, folder, answers="a long password\n", **options)  # type: ignore[arg-type]


def test_every_command_is_tried() -> None:
    names = {
        f"{name} {inner}".strip()
        for name, command in root_group().commands.items()
        for inner in getattr(command, "commands", [""])
    }
    # "serve" runs until it is stopped: its troubles are tried below.
    assert names - {"serve"} == set(COMMANDS)


@pytest.fixture(scope="module")
def sound(base: Path, site: Path) -> Path:
    return copy_of(site, base / "sound")


@pytest.mark.parametrize("name", COMMANDS)
def test_without_a_trouble(name: str, commands: ForkedCommands, sound: Path) -> None:
    ended = run(commands, name, sound)
    check_lines(ended)
    assert ended.code == COMMANDS[name].sound, ended


@pytest.mark.parametrize("name", USES_DATA)
def test_no_data_folder(name: str, commands: ForkedCommands, base: Path, site: Path) -> None:
    folder = copy_of(site, base / "no-data") if not (base / "no-data").exists() else base / "no-data"
    shutil.rmtree(folder / "data", ignore_errors=True)
    ended = run(commands, name, folder)
    errors = check_lines(ended)
    assert ended.code in ({BEGIN_WITHOUT_DATA[name]} if name in BEGIN_WITHOUT_DATA else {0, 2}), ended
    assert bool(errors) == (ended.code == 2)


@pytest.fixture(scope="module")
def of_root(base: Path, site: Path) -> Path:
    """A site whose data folder only root may enter."""
    folder = copy_of(site, base / "of-root")
    (folder / "data").chmod(0o700)
    (folder / "key").chmod(0o644)
    return folder


@pytest.mark.parametrize("name", sorted({*USES_DATA, *WRITES_OUT}))
def test_the_folder_of_another_user(name: str, commands: ForkedCommands, of_root: Path) -> None:
    ended = run(commands, name, of_root, uid=NOBODY)
    (error,) = check_lines(ended)
    assert ended.code in {5, *({COMMANDS[name].sound} if name in LOOK_ELSEWHERE_FIRST else ())}, ended
    assert re.search(r"data|out|backup|absent|127", error)


@pytest.fixture(scope="module")
def read_only(base: Path, site: Path) -> Iterator[Path]:
    with read_only_view(copy_of(site, base / "writable"), base / "read-only") as folder:
        yield folder


@pytest.mark.parametrize("name", sorted({*USES_DATA, *WRITES_OUT}))
def test_a_read_only_disk(name: str, commands: ForkedCommands, read_only: Path) -> None:
    ended = run(commands, name, read_only)
    errors = check_lines(ended)
    if set(COMMANDS[name].uses) & {"w", "o"} and COMMANDS[name].sound == 0:
        assert ended.code == 5, ended
        assert "mount the disk of" in errors[0]
    else:
        assert ended.code in {0, 1, COMMANDS[name].sound, 5}, ended


@pytest.fixture(scope="module")
def full(base: Path, site: Path) -> Iterator[Path]:
    with small_disk(base / "full", 64 * MIB) as folder:
        copy_of(site, folder)
        for size_bytes in (64 * 1024, 1):
            with (folder / f"filled-{size_bytes}").open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(size_bytes)):
                    pass
        yield folder


@pytest.mark.parametrize("name", sorted({*USES_DATA, *WRITES_OUT}))
def test_a_full_disk(name: str, commands: ForkedCommands, full: Path) -> None:
    ended = run(commands, name, full)
    errors = check_lines(ended)
    assert ended.code in {0, 1, COMMANDS[name].sound, 5}, ended
    assert ended.code != 5 or "free some space" in errors[0] or "choose another" in errors[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_nobody_reads_the_output(name: str, commands: ForkedCommands, sound: Path) -> None:
    ended = run(commands, name, sound, output="closed")
    check_lines(ended)
    assert ended.code in {4, 0, 1, COMMANDS[name].sound, 2}, ended
    assert ended.code != 4 or "interrupted" not in ended.err


@pytest.mark.parametrize("name", ["ls", "config show", "host schema", "stats"])
def test_the_output_cannot_be_written(name: str, commands: ForkedCommands, sound: Path) -> None:
    ended = run(commands, name, sound, output="/dev/full")
    (error,) = check_lines(ended)
    assert ended.code == 5, ended
    assert error.startswith("error: the output cannot be used: No space left on device; fix: ")


@pytest.mark.parametrize("name", READS_CONFIG)
def test_ctrl_c_while_the_configuration_is_read(name: str, commands: ForkedCommands, sound: Path) -> None:
    ended = run(commands, name, sound, interrupt_at="open config.yaml")
    check_lines(ended)
    assert ended.code == 4, ended
    assert ended.err.endswith("interrupted: nothing is lost; fix: run the same command again to continue\n")


@pytest.mark.parametrize("name", WRITES_DATA)
def test_ctrl_c_while_the_catalog_is_opened(name: str, commands: ForkedCommands, sound: Path) -> None:
    ended = run(commands, name, sound, interrupt_at="sqlite3.connect")
    check_lines(ended)
    assert ended.code in {4, COMMANDS[name].sound, 1, 2}, ended


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("inspect Upper/Case @", 2, "'Upper/Case' is not a repository name"),
        ("pin a/b:c:d @", 2, "is not a tag"),
        ("rm a/b@sha256:12 @", 2, "digest"),
        ("fetch -o f.tar --key key a//b @", 2, "is not a repository name"),
        ("inspect acme/none:1 @", 1, "has no repository acme/none; fix: 'plugin-mirror ls' lists"),
        ("pin acme/driver:9 @", 1, "acme/driver has no tag 9; fix: "),
        ("tag acme/none:1 a/b:1 @", 1, "has no repository acme/none; fix: "),
        ("bundle export -o e.tar --key key acme/none:1 @", 1, "has no repository acme/none; fix: "),
        ("inspect 127.0.0.1:9/a/b:1", 3, "no connection: Connection refused; fix: check the network"),
        ("inspect no.such.host.invalid/a/b:1", 3, "cannot resolve the host name: no "),
        ("sync nosuch @", 2, "nosuch"),
        ("ls --nosuch", 2, "no such option: --nosuch; fix: see 'plugin-mirror ls --help'"),
        ("nosuch", 2, "fix: see 'plugin-mirror --help'"),
        ("pack absent -t a/b:1 @", 2, "absent"),
        ("bundle verify absent.tar --key key.pub", 2, "absent.tar cannot be read: No such file or directory; fix: "),
        ("ls --config absent.yaml", 2, "absent.yaml: cannot be read"),
    ],
)
def test_words_that_are_wrong(line: str, code: int, told: str, commands: ForkedCommands, sound: Path) -> None:
    ended = commands.run(Command(line).argv, sound)
    (error,) = check_lines(ended)
    assert told in error
    assert ended.code == code, ended


@pytest.mark.parametrize("name", [*WRITES_OUT])
def test_the_output_exists_or_its_folder_does_not(name: str, commands: ForkedCommands, base: Path, site: Path) -> None:
    folder = copy_of(site, base / "outputs") if not (base / "outputs").exists() else base / "outputs"
    argv = [word.replace("out/", "absent/") if word != "out/b.tar" else word for word in COMMANDS[name].argv]
    ended = commands.run(argv, folder, answers="a long password\n")
    errors = check_lines(ended)
    assert ended.code in {0, 2, 3, 5}, ended
    assert ended.code in {0, 3} or "absent" in errors[0]
    for word in COMMANDS[name].argv:
        if word.startswith("out/") and word != "out/b.tar":
            (folder / word).write_text("of somebody")
    ended = run(commands, name, folder)
    errors = check_lines(ended)
    assert ended.code in {0, 1, 2, 3, 5}, ended
    assert ended.code in {0, 3} or "fix: " in errors[0]


@pytest.mark.parametrize(
    ("address", "uid", "code", "told"),
    [
        ("127.0.0.1:{used}", 0, 5, "Address already in use; fix: end the program that uses the port"),
        ("127.0.0.1:80", NOBODY, 5, "Permission denied; fix: set server.listen to a port above 1023"),
        ("192.0.2.77:5000", 0, 2, "fix: set server.listen to an address of this machine"),
        ("no.such.host.invalid:5000", 0, 2, "fix: set server.listen to an address of this machine"),
    ],
)
def test_a_port_that_cannot_be_used(
    address: str, uid: int, code: int, told: str, commands: ForkedCommands, sound: Path
) -> None:
    if uid:
        first_open = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        require(None if first_open > 80 else "every user may listen on port 80 here")
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        listen = address.replace("{used}", str(used.getsockname()[1]))
        ended = commands.run(["serve", "--config", "config.yaml", "--listen", listen], sound, uid=uid)
    (error,) = check_lines(ended)
    assert ended.code == code, ended
    assert told in error
