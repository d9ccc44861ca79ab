"""A site of its own to run documented commands in: a Docker host, a mirror, and a Docker Hub that is ours.

The site has a network without a route, an /etc and the folders `TREES` that the machine never sees. So commands run as
they stand in a page, with their names, ports and paths. Needs root.
"""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.docs.blocks import Block, blocks
from tests.harness import plugins
from tests.harness.command import CommandFailedError, run
from tests.harness.engine import Engine
from tests.harness.no_network import VERIFIED_ADDRESS, no_network
from tests.harness.packing import pack
from tests.harness.process import Service
from tests.harness.pushing import push
from tests.harness.readiness import http_answers, tcp_accepts

HUB = "registry-1.docker.io"
HUB_PORT = "127.0.0.2:5999"
#: Name, tag and folder of the plugins of this Docker Hub.
CONTENT_OF_THE_HUB = (
    ("vieux/sshfs", "latest", "driver"),
    ("grafana/loki-docker-driver", "3.2.1", "driver"),
    ("store/contiv/v2plugin", "1.0.0-beta.3", "contiv"),
)
#: Where the mirror of the pages is. It has an address that engines treat as that of another machine.
MIRRORS = ("mirror.example", "mirror")
TREES = ("/srv", "/mnt", "/media", "/opt", "/var/lib")
PASSWORD = "correct-horse-battery"
CONFIG = "/etc/plugin-mirror/config.yaml"
#: A server for everybody, whose content the commands of a page make.
OPEN = f"""
mkdir -p /etc/plugin-mirror
cat >{CONFIG} <<'END'
server: {{listen: "0.0.0.0:5000", anonymous: [pull, push]}}
storage: {{path: /var/lib/plugin-mirror}}
END
plugin-mirror serve
"""
CONTIV = "plugin-mirror pack contiv -t store/contiv/v2plugin:1.0\n"
#: A command that takes longer hangs, also on a busy machine.
PATIENCE_SECONDS = 280
_SERVE = re.compile(r"^plugin-mirror serve\b")
#: `docker` and the installer ask for privileges, and there is no `sudo` and no systemd.
_PRELUDE = """
docker() { yes | command docker "$@"; }
python3() { yes | command python3 "$@"; }
sudo() { "$@"; }
systemctl() { :; }
digest() { plugin-mirror inspect --quick --json "$1" | grep -om1 'sha256:[0-9a-f]*'; }
"""


@dataclass(frozen=True)
class Page:
    """Commands of a page, and what a reader has by then.

    Attributes:
        name: path of the page below the repository.
        files: path of a file to write before the first command, and words of the block of the page that is its content.
        setup: script that runs before the first command, after these files are written.
        before: script to run before a command, by the beginning of the command.
        instead: words to replace in commands: names that a reader has to fill in.
        fails: commands whose failure the page describes, each with its place among equal ones, from 1.
        left_out: reason why a command is not run, by the beginning of the command.
    """

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    setup: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    fails: frozenset[tuple[str, int]] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """A running site.

    Attributes:
        engine: the engine of the Docker host.
        folder: folder in which the commands run. The scripts find it as $HOME.
        services: the server that a command has started.
    """

    engine: Engine
    folder: Path
    services: ExitStack

    def follow(self, page: Page, folder: Path) -> None:
        """Run the commands of a page, in their order, in an existing folder. Nothing of the page before is there."""
        self._forget()
        self.folder = folder
        write_plugins(folder)
        for path, words in page.files.items():
            (found,) = [block.text for block in blocks(page.name) if words in block.text and block.kind == "yaml"]
            self.shell(f"mkdir -p {Path(path).parent} && cat >{path} <<'END'\n{found}END\n", "files")
        self._run(page.setup, f"{page.name}, setup")
        met: Counter[str] = Counter()
        for block in blocks(page.name):
            for command in block.commands():
                bare = command.partition(" #")[0].rstrip()
                met[bare] += 1
                self._do(bare, block, page, fails=(bare, met[bare]) in page.fails)

    def _forget(self) -> None:
        """Remove what the commands of a page have left behind."""
        self.services.close()
        for kind in ("volume", "plugin"):
            if names := self.engine.docker(kind, "ls", "-q").stdout.split():
                self.engine.docker(kind, "rm", "-f", *names)
        for tree in TREES:
            self.engine.as_host("umount", "--recursive", tree)
            self.engine.as_host("mount", "-t", "tmpfs", "tmpfs", tree)
        self.engine.as_host("rm", "-rf", "/etc/plugin-mirror", "/etc/docker", str(self.engine.folder / "client"))

    def shell(self, script: str, place: str) -> None:
        """Run a script on the host. Raises CommandFailedError, with `place`, if one of its commands fails."""
        done = run(
            self._bash(script),
            input_text=f"{PASSWORD}\n" * 4,
            environment=self._environment(),
            check=False,
            timeout_seconds=PATIENCE_SECONDS,
        )
        if done.exit_code:
            raise CommandFailedError(done, hint=f"{place}\n{self.engine.log_tail(5)}")

    def _do(self, command: str, block: Block, page: Page, *, fails: bool) -> None:
        if any(command.startswith(beginning) for beginning in page.left_out):
            return
        for beginning, script in page.before.items():
            if command.startswith(beginning):
                self._run(script, f"{block}, before {command}")
        filled = command
        for words, value in page.instead.items():
            filled = filled.replace(words, value)
        if fails:
            filled = f"if {filled}\nthen exit 99; fi"
        self._run(filled, str(block))

    def _run(self, script: str, place: str) -> None:
        """Run a script, and leave each server in it running until the next one."""
        lines = []
        for line in textwrap.dedent(script).splitlines():
            if not _SERVE.match(line):
                lines.append(line)
                continue
            self.shell("\n".join(lines), place)
            lines.clear()
            self.serve(line.removesuffix("&"))
        self.shell("\n".join(lines), place)

    def serve(self, command: str) -> None:
        """Start a server in place of the one before, and wait until it answers."""
        self.services.close()
        port = int(found[1]) if (found := re.search(r"--listen \S+:(\d+)", command)) else 5000
        log = self.folder / f"serve-{port}.log"
        service = Service(
            self._bash(f"exec {command}"),
            log=log,
            environment=self._environment(),
            start_timeout_seconds=PATIENCE_SECONDS,
            ready=http_answers(f"http://127.0.0.1:{port}/readyz"),
        )
        self.services.enter_context(service)

    def hub(self) -> Service:
        """Return a Docker Hub that is not started yet. Pushes to it go to a port without TLS."""
        config = self.folder / "hub.yaml"
        file = str(self.folder / "hub.pem")
        server = {"listen": "127.0.0.2:443", "plain": {"listen": HUB_PORT}, "anonymous": ["pull", "push"]}
        config.write_text(
            json.dumps(
                {
                    "server": server | {"tls": {"certificate": file, "key": file}},
                    "storage": {"path": str(self.folder / "hub")},
                }
            )
        )
        host, _, port = HUB_PORT.partition(":")
        return Service(
            self._bash(f"exec plugin-mirror serve --config {config}"),
            log=self.folder / "hub.log",
            environment=self._environment(),
            start_timeout_seconds=PATIENCE_SECONDS,
            ready=tcp_accepts(host, int(port)),
        )

    def _bash(self, script: str) -> list[str]:
        return [*self.engine.on_the_host, "bash", "-ec", f"cd {self.folder}\n{script}"]

    def _environment(self) -> dict[str, str]:
        environment = self.engine.client_environment
        return environment | {
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "HOME": str(self.folder),
            "BASH_ENV": str(self.engine.folder / "prelude"),
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        }


@contextmanager
def site(folder: Path, *, daemon_json: Mapping[str, object] | None = None) -> Iterator[Site]:
    """Start a site. It has no mirror yet, and an empty Docker Hub.

    Args:
        folder: Existing folder, for the Docker Hub.
        daemon_json: Further keys of the engine's daemon.json.
    """
    authority = trustme.CA()
    authority.issue_cert(HUB).private_key_and_cert_chain_pem.write_to_path(folder / "hub.pem")
    etc = {
        "hosts": f"127.0.0.1 localhost\n127.0.0.2 {HUB}\n{VERIFIED_ADDRESS} {' '.join(MIRRORS)}\n",
        "ssl/certs/ca-certificates.crt": authority.cert_pem.bytes().decode(),
    }
    insecure = [f"{name}{port}" for name in MIRRORS for port in ("", ":5000")]
    with ExitStack() as stack:
        stack.enter_context(no_network(VERIFIED_ADDRESS))
        engine = stack.enter_context(Engine(insecure_registries=insecure, daemon_json=daemon_json, own_etc=etc))
        for tree in TREES:
            engine.as_host("mount", "-t", "tmpfs", "tmpfs", tree)
        started = Site(engine, folder, stack.enter_context(ExitStack()))
        (engine.folder / "prelude").write_text(_PRELUDE)
        stack.enter_context(started.hub())
        write_plugins(folder)
        for name, tag, plugin in CONTENT_OF_THE_HUB:
            push(pack(folder / plugin), f"http://{HUB_PORT}", name, tag)
        yield started


def write_plugins(folder: Path) -> None:
    """Write the folders of three plugins that engines can enable.

    `driver` asks for nothing, `contiv` has settings of contiv, and `sshfs` a mount that no host has.
    """
    plugins.volume_plugin(folder / "driver")
    settings = {
        "plugin_name": "contiv/v2plugin:latest",
        "cluster_store": "etcd://localhost:2379",
        "iflist": "",
        "plugin_role": "master",
    }
    _change(
        plugins.volume_plugin(folder / "contiv", network="host"),
        Env=[
            {"Name": name, "Description": "", "Settable": ["value"], "Value": value} for name, value in settings.items()
        ],
    )
    state = {"Name": "state", "Source": "/var/lib/sshfs", "Destination": "/state", "Settable": ["source"]}
    sshfs = plugins.volume_plugin(folder / "sshfs")
    (sshfs / "rootfs/state").mkdir()
    _change(sshfs, Mounts=[state | {"Description": "", "Type": "bind", "Options": ["rbind"]}])


def _change(plugin: Path, **members: object) -> None:
    config = plugin / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | members, indent=2))
