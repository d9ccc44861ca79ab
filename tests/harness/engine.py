"""A private, real Docker Engine with its own daemon, containerd, state and client. Nothing remains after the block."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness import trixie
from tests.harness.command import SYSTEM_PATH, CommandFailedError, CompletedRun, run
from tests.harness.leftovers import end_processes, unmount_below
from tests.harness.own_etc import entering, etc_of, with_own_etc
from tests.harness.process import Service
from tests.harness.readiness import unix_http_answers

# dockerd hard-codes this path and ignores --exec-root for it.
PLUGIN_SOCKETS = Path("/run/docker/plugins")
# containerd hard-codes this path. The file names are SHA-256 hashes, see `Engine.shim_socket`.
SHIM_SOCKETS = Path("/run/containerd/s")
OWN_PROGRAMS = ("dockerd", "docker", "containerd", "containerd-shim-runc-v2")
# A unix socket path has at most 107 bytes, and the engine's longest socket path adds 74 bytes to its folder.
LONGEST_FOLDER = 30


class Engine:
    """A dockerd without bridge network and iptables rules, as a context manager. Must run as root.

    Several engines can run at the same time. Starting and stopping take about a second each.

    Args:
        binaries: Folder with the programs of another engine version, such as `trixie.ENGINE_BINARIES`. runc and
            docker-init are looked up in this folder first and then in the system. If None, all programs are the
            system's.
        insecure_registries: Registries (`host:port`) that may speak plain HTTP. 127.0.0.0/8 always may.
        daemon_json: Further keys of daemon.json, such as `registry-mirrors`. The host's own daemon.json is never read.
        own_etc: Files of /etc by name, with their content, that the engine finds instead of the machine's. The engine
            then has a copy of /etc of its own (`etc`). If None, its /etc is the machine's.
        parent: Existing folder with a short path in which the engine's folder is created.
    """

    def __init__(
        self,
        *,
        binaries: Path | None = None,
        insecure_registries: Sequence[str] = (),
        daemon_json: Mapping[str, object] | None = None,
        own_etc: Mapping[str, str] | None = None,
        parent: Path = Path("/tmp"),
    ) -> None:
        self._path = _search_path(binaries)
        self._daemon_json = {"insecure-registries": list(insecure_registries), **(daemon_json or {})}
        self._own_etc = own_etc
        self._parent = parent
        self._folder: Path | None = None
        self._service: Service | None = None
        self._plugin_ids: set[str] = set()

    @staticmethod
    def missing(binaries: Path | None = None) -> str | None:
        """Return a sentence that says why no engine can run here and how to fix it, or None.

        With `binaries`, all of the engine's own programs must be in that folder. Otherwise a program of the system's
        version could replace a missing one unnoticed.
        """
        if os.geteuid() != 0:
            return "a private Docker Engine needs root"
        own_path = str(binaries) if binaries else SYSTEM_PATH
        absent = [program for program in OWN_PROGRAMS if not shutil.which(program, path=own_path)]
        if absent and binaries:
            return f"{', '.join(absent)} not in {binaries} ({trixie.REMEDY})"
        if not shutil.which("runc", path=_search_path(binaries)):
            absent.append("runc")
        if absent:
            return f"{', '.join(absent)} not installed (Debian: apt-get install docker.io)"
        return None

    @property
    def folder(self) -> Path:
        """Folder with everything that the engine owns: `data`, `exec`, `engine.sock`, `engine.log`, `daemon.json`."""
        if self._folder is None:
            raise RuntimeError("the engine is not open")
        return self._folder

    @property
    def socket(self) -> Path:
        """Unix socket of the engine's API."""
        return self.folder / "engine.sock"

    @property
    def log(self) -> Path:
        """Log file of the daemon and its child processes."""
        return self.folder / "engine.log"

    @property
    def etc(self) -> Path:
        """The engine's own /etc, while it runs."""
        return etc_of(self._own_mounts())

    @property
    def client_environment(self) -> dict[str, str]:
        """Environment for programs that run `docker`, such as scripts."""
        return self._environment() | {"DOCKER_HOST": f"unix://{self.socket}"}

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="eng-", dir=self._parent)).resolve()
        try:
            if len(str(self._folder)) > LONGEST_FOLDER:
                raise ValueError(f"the folder's path is too long for the engine's unix sockets: {self._folder}")
            self._service = self._make_service()
            self._service.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._service is not None and self._service.running():
                self._remove_everything()
        finally:
            self._clean_up()

    def restart(self, *, crash: bool = False) -> None:
        """Stop the daemon, with SIGKILL if `crash` is true, and start it again on the same state."""
        service = self._running_service()
        if crash:
            service.kill()
            end_processes([str(self.folder), *self._note_plugins()], patience_seconds=0)
            # dockerd takes a killed containerd that init has not reaped yet for a running one.
            (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        else:
            service.stop()
        service.start()

    def docker(
        self, *arguments: str, input_text: str | None = None, check: bool = True, timeout_seconds: float = 180
    ) -> CompletedRun:
        r"""Run the engine's own client with an empty configuration and a minimal environment.

        Args:
            arguments: Arguments of `docker`.
            input_text: Answer to prompts, such as `"y\n"`. If None, standard input is empty and prompts are declined.
            check: True to raise an error for a non-zero exit code.
            timeout_seconds: Time after which the client is killed.

        Raises:
            CommandFailedError: If `check` is true and the exit code is not 0. The message includes the end of the
                daemon's log.
        """
        self._running_service()
        # Plugin ids are recorded before and after, since the command may remove or install plugins.
        self._note_plugins()
        done = run(
            [self._program("docker"), *arguments],
            input_text=input_text,
            environment=self.client_environment,
            timeout_seconds=timeout_seconds,
            check=False,
        )
        self._note_plugins()
        if check and done.exit_code != 0:
            raise CommandFailedError(done, hint=self.log_tail(15))
        return done

    def shell(self, script: str, *, input_text: str | None = None) -> CompletedRun:
        """Run a script in which `docker` is the engine's own client. The first failing command ends the script.

        Raises:
            CommandFailedError: If a command fails. The message includes the end of the daemon's log.
        """
        self._running_service()
        self._note_plugins()
        environment = self._environment() | {"DOCKER_HOST": f"unix://{self.socket}"}
        done = run(["sh", "-ec", script], input_text=input_text, environment=environment, check=False)
        self._note_plugins()
        if done.exit_code != 0:
            raise CommandFailedError(done, hint=self.log_tail(15))
        return done

    @property
    def on_the_host(self) -> list[str]:
        """Beginning of a command line that runs as root of the engine's host, which has the engine's own /etc."""
        return entering(self._own_mounts())

    def as_host(self, *argv: str) -> CompletedRun:
        """Run a program as root of the engine's host, which has the engine's own /etc.

        Raises:
            CommandFailedError: If the program fails.
        """
        return run([*self.on_the_host, *argv], environment=self._environment())

    def running_spec(self, name: str) -> dict[str, Any]:
        """Return the runtime specification of an enabled plugin: its process, mounts, devices and namespaces."""
        (file,) = (self.folder / "exec").rglob(f"{self.inspect_plugin(name)['Id']}/config.json")
        return dict(json.loads(file.read_text()))

    def inspect_plugin(self, name: str) -> dict[str, Any]:
        """Return the engine's description of a plugin (`docker plugin inspect`)."""
        (described,) = json.loads(self.docker("plugin", "inspect", name).stdout)
        return dict(described)

    def inspect_volume(self, name: str) -> dict[str, Any]:
        """Return the description of a volume by the engine and its driver (`docker volume inspect`)."""
        (described,) = json.loads(self.docker("volume", "inspect", name).stdout)
        return dict(described)

    def version(self) -> str:
        """Return the version of the daemon, such as `20.10.24+dfsg1`."""
        return self.docker("version", "--format", "{{.Server.Version}}").stdout.strip()

    def shim_socket(self, plugin_id: str) -> Path:
        """Return the socket of the containerd shim of an enabled plugin. A killed shim leaves the socket behind."""
        shim = self.folder / "exec/containerd/containerd.sock/plugins.moby" / plugin_id
        return SHIM_SOCKETS / hashlib.sha256(str(shim).encode()).hexdigest()

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the daemon's log, without lines of its gRPC module."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([line for line in text.splitlines() if "module=grpc" not in line][-lines:])

    def _make_service(self) -> Service:
        daemon_json = self.folder / "daemon.json"
        daemon_json.write_text(json.dumps(self._daemon_json, indent=2))
        (self.folder / "client").mkdir()
        return Service(
            [
                *(() if self._own_etc is None else with_own_etc(self.folder / "etc", self._own_etc)),
                self._program("dockerd"),
                *("--config-file", str(daemon_json)),
                *("--data-root", str(self.folder / "data")),
                *("--exec-root", str(self.folder / "exec")),
                *("--pidfile", str(self.folder / "engine.pid")),
                *("--host", f"unix://{self.socket}"),
                # A bridge or iptables rules would collide with other engines and remain after a kill.
                *("--iptables=false", "--ip6tables=false", "--bridge=none"),
            ],
            log=self.log,
            ready=unix_http_answers(self.socket, "/_ping"),
            environment=self._environment(),
            start_timeout_seconds=120,
            stop_timeout_seconds=60,
        )

    def _own_mounts(self) -> int:
        """Return the id of a process with the engine's own /etc."""
        pid = self._running_service().pid
        if self._own_etc is None or pid is None:
            raise RuntimeError("the engine has no /etc of its own, or does not run")
        return pid

    def _running_service(self) -> Service:
        if self._service is None:
            raise RuntimeError("the engine is not open")
        return self._service

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self._path)
        if found is None:
            raise FileNotFoundError(f"{name} is not in {self._path}")
        return found

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": self._path,
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder / "client"),
            "LANG": "C.UTF-8",
        }

    def _note_plugins(self) -> set[str]:
        """Record and return the ids of all plugins seen so far, since some of their files lie outside `folder`."""
        with suppress(FileNotFoundError):
            for entry in (self.folder / "data" / "plugins").iterdir():
                if len(entry.name) == 64:
                    self._plugin_ids.add(entry.name)
        return self._plugin_ids

    def _remove_everything(self) -> None:
        """Remove all containers and plugins through the daemon, while it still runs."""
        for kind, listing in (("container", ("ls", "-aq", "--no-trunc")), ("plugin", ("ls", "-q", "--no-trunc"))):
            with suppress(TimeoutError):
                names = self.docker(kind, *listing, check=False).stdout.split()
                if names:
                    self.docker(kind, "rm", "-f", *names, check=False)

    def _clean_up(self) -> None:
        """Stop the daemon and its child processes, unmount, and remove the folder and the plugins' socket folders."""
        folder = self.folder
        plugin_ids = self._note_plugins()
        if self._service is not None:
            self._service.stop()
        # Processes keep mounts busy and mounts keep folders from being removed, so the order is processes, mounts,
        # folders.
        end_processes([str(folder), *plugin_ids], patience_seconds=5)
        unmount_below(folder)
        for plugin_id in plugin_ids:
            unmount_below(PLUGIN_SOCKETS / plugin_id)
            shutil.rmtree(PLUGIN_SOCKETS / plugin_id, ignore_errors=True)
            self.shim_socket(plugin_id).unlink(missing_ok=True)
        shutil.rmtree(folder)
        self._folder = self._service = None


def engine_release(binaries: Path | None = None) -> str | None:
    """Return the release of the dockerd in `binaries` or the system, such as `20.10`, or None if there is no dockerd.

    The release is read from the output of `dockerd --version`.
    """
    dockerd = shutil.which("dockerd", path=str(binaries) if binaries else SYSTEM_PATH)
    if dockerd is None:
        return None
    told = run([dockerd, "--version"]).stdout  # for example "Docker version 20.10.24+dfsg1, build 5d6db84"
    return ".".join(told.removeprefix("Docker version ").split(".")[:2])


def _search_path(binaries: Path | None) -> str:
    return f"{binaries.resolve()}:{SYSTEM_PATH}" if binaries else SYSTEM_PATH
