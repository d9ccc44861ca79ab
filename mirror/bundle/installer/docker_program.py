"""Runs of the program ``docker``."""

import shutil
import subprocess
from typing import Sequence

from mirror.bundle.installer.installer_fault import InstallerFault


def require_engine() -> str:
    """Return the platform of the engine, such as ``linux/amd64``.

    Raises:
        InstallerFault: there is no program ``docker``, or it reaches no engine.
    """
    if shutil.which("docker") is None:
        raise InstallerFault("the program 'docker' is not installed on this host", 5)
    return _docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").strip()


def has_plugin(name: str) -> bool:
    """Return True if the engine has a plugin with this name."""
    return name in _docker("plugin", "ls", "--no-trunc", "--format", "{{.Name}}").split()


def create_plugin(name: str, folder: str) -> None:
    """Create a plugin from a folder. Raises InstallerFault if the engine refuses it."""
    _docker("plugin", "create", name, folder)


def set_plugin(name: str, settings: Sequence[str]) -> None:
    """Change settings of a disabled plugin. Raises InstallerFault if the engine refuses them."""
    _docker("plugin", "set", name, *settings)


def enable_plugin(name: str) -> None:
    """Enable a plugin. Raises InstallerFault if the plugin does not start."""
    _docker("plugin", "enable", name)


def _docker(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - no shell; the names were checked, and docker is the program that users mean
        ["docker", *arguments],  # noqa: S607 - as above
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or "exit code {}".format(done.returncode)
        raise InstallerFault("docker {}: {}".format(" ".join(arguments[:2]), said), 3)
    return done.stdout.decode("utf-8", "replace")
