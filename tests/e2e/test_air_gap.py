"""Plugins cross an air gap: on hosts without a route, real engines get them from a bundle in every way there is."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.command import CompletedRun, run
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.no_network import has_no_route, no_network
from tests.harness.packing import pack, packed_from
from tests.harness.pushing import push
from tests.harness.requirement import require
from tests.support.layers import entry, tar, zipped

pytestmark = [pytest.mark.e2e, pytest.mark.long]

VOLUMES, UNUSUAL = "acme/volumes:1.0", "acme/unusual:1.0"
PYTHON = "/usr/bin/python3"  # a host has Debian's, and nothing of this project


@dataclass(frozen=True)
class Stick:
    """A folder that was carried to a site.

    Attributes:
        folder: the folder, with ``site.tar``, ``site.pub`` and ``install-plugin``.
    """

    folder: Path

    @property
    def bundle(self) -> str:
        return str(self.folder / "site.tar")

    @property
    def trusted(self) -> tuple[str, str]:
        return "--key", str(self.folder / "site.pub")

    def install(self, engine: Engine, *arguments: str, bundle: str | None = None) -> CompletedRun:
        """Run the installer as a host would: with Python and ``docker`` alone."""
        command = [PYTHON, "-I", "-S", str(self.folder / "install-plugin"), bundle or self.bundle]
        engine.docker("version")  # the engine notes the plugins that it must remove
        return run([*command, *arguments], environment=engine.client_environment, check=False)


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Stick:
    """A stick with two plugins."""
    require(plugins.missing())
    folder = tmp_path_factory.mktemp("stick")
    key = tmp_path_factory.mktemp("office") / "site"
    volumes = pack(plugins.volume_plugin(tmp_path_factory.mktemp("volumes")))
    plugin_mirror("bundle", "keygen", str(key))
    with Mirror() as office:
        push(volumes, office.url, *VOLUMES.split(":"))
        push(packed_from(volumes.config, unusual_layer()), office.url, *UNUSUAL.split(":"))
        office.command("bundle", "export", "-o", str(folder / "site.tar"), "--key", str(key), "--all")
    shutil.copy(f"{key}.pub", folder)
    plugin_mirror("bundle", "installer", "-o", str(folder / "install-plugin"))
    return Stick(folder)


def unusual_layer() -> bytes:
    """Return a layer with a hidden file, links, owners, modes, a device and a capability.

    It is one layer, because engine 20.10 applies several layers in any order.
    """
    device = tarfile.TarInfo("dev/zero")
    device.type, device.devmajor, device.devminor, device.mode = tarfile.CHRTYPE, 1, 5, 0o620
    capability = b"\1\0\0\2\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".decode()
    owned = {"uid": "1234", "gid": "70000", "mtime": "1500000000", "SCHILY.xattr.security.capability": capability}
    link = {"linkpath": "srv/tool"}
    pax = tarfile.PAX_FORMAT
    return zipped(
        tar(
            entry("volume-driver", b"not started here", mode=0o755),
            *(entry(name, kind=tarfile.DIRTYPE, mode=0o755) for name in ("old", "dev")),
            entry("old/a", b"a"),
            entry("old/b", b"b"),
            entry("srv", kind=tarfile.DIRTYPE, mode=0o1777),
            entry("srv/tool", b"tool", mode=0o2755, form=pax, pax=owned),
            entry("srv/same", kind=tarfile.LNKTYPE, mode=0o2755, form=pax, pax=owned | link),
            entry("srv/to", kind=tarfile.SYMTYPE, form=pax, pax={**link, "uid": "99"}),
            entry("srv/to-folder", kind=tarfile.SYMTYPE, form=pax, pax={"linkpath": "/old"}),
            entry("srv/to-folder/through", b"a link"),
            device.tobuf(tarfile.GNU_FORMAT),
            entry("old/.wh.a"),
        )
    )


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """A site without a network: everything that the tests of this module start has only a loopback interface."""
    require(Engine.missing())
    with no_network():
        assert has_no_route()
        yield


@pytest.fixture(scope="module")
def engine(binaries: Path | None, offline: None) -> Iterator[Engine]:
    """An engine on a host without a route."""
    with Engine(binaries=binaries) as engine:
        yield engine


@contextmanager
def installed(engine: Engine, name: str) -> Iterator[None]:
    """Remove a plugin at the end of the block."""
    try:
        yield
    finally:
        engine.docker("plugin", "rm", "-f", name, check=False)


def require_working(engine: Engine, name: str) -> None:
    """Create a volume with an enabled plugin."""
    volume = engine.docker("volume", "create", "-d", name).stdout.strip()
    assert engine.inspect_volume(volume)["Status"]["version"] == "1"
    engine.docker("volume", "rm", volume)


def rootfs(engine: Engine, name: str) -> dict[str, tuple[object, ...]]:
    """Return the files of a plugin in an engine: mode, owner, device, links, content or target, and attributes."""
    root = engine.folder / "data/plugins" / engine.inspect_plugin(name)["Id"] / "rootfs"
    return {str(path.relative_to(root)): facts_of(path) for path in root.rglob("*")}


def facts_of(path: Path) -> tuple[object, ...]:
    about = path.lstat()
    content: object = None
    if path.is_symlink():
        content = path.readlink()
    elif path.is_file():
        content = about.st_nlink, about.st_mtime, path.read_bytes()
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    return oct(about.st_mode), about.st_uid, about.st_gid, about.st_rdev, content, attributes


def test_from_a_registry_that_imported_the_bundle(engine: Engine, stick: Stick) -> None:
    with Mirror() as mirror:
        mirror.command("bundle", "import", stick.bundle, *stick.trusted)
        name = f"{mirror.host}/{VOLUMES}"
        with installed(engine, name):
            engine.docker("plugin", "install", "--grant-all-permissions", name)
            require_working(engine, name)


@pytest.mark.newest_engine
def test_from_a_server_of_the_bundle_itself(engine: Engine, stick: Stick) -> None:
    with Mirror(arguments=["--bundle", stick.bundle, *stick.trusted]) as mirror:
        name = f"{mirror.host}/{VOLUMES}"
        with installed(engine, name):
            engine.docker("plugin", "install", "--grant-all-permissions", name)
            require_working(engine, name)


@pytest.mark.newest_engine
def test_from_a_folder_that_was_unpacked(engine: Engine, stick: Stick, tmp_path: Path) -> None:
    plugin_mirror("unpack", f"{stick.bundle}:{VOLUMES}", str(tmp_path / "plugin"))
    with installed(engine, VOLUMES):
        engine.docker("plugin", "create", VOLUMES, str(tmp_path / "plugin"))
        engine.docker("plugin", "enable", VOLUMES)
        require_working(engine, VOLUMES)


def test_by_the_installer_with_python_and_docker_alone(engine: Engine, stick: Stick) -> None:
    with installed(engine, "volumes"):
        done = stick.install(engine, VOLUMES, *stick.trusted, "--alias", "volumes", "--enable")
        assert done.exit_code == 0, done.stderr
        assert done.stdout == "created volumes\nenabled volumes\n"
        require_working(engine, "volumes")
        again = stick.install(engine, VOLUMES, *stick.trusted, "--alias", "volumes", "--enable")
        assert (again.exit_code, "has a plugin volumes already" in again.stderr) == (1, True)


@pytest.mark.newest_engine
def test_by_the_installer_from_parts_on_two_drives(engine: Engine, stick: Stick, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    plugin_mirror("bundle", "split", stick.bundle, "-o", str(first), "--size", "100KiB")
    for part in sorted(first.glob("*.part-*"))[1::2]:
        part.rename(second / part.name)
    with installed(engine, VOLUMES):
        parts = stick.install(
            engine, VOLUMES, *stick.trusted, "--enable", "--parts", str(second), bundle=str(first / "site.tar")
        )
        assert parts.exit_code == 0, parts.stderr
        require_working(engine, VOLUMES)


def test_the_installer_makes_the_files_that_a_pull_makes(engine: Engine, stick: Stick) -> None:
    with Mirror(arguments=["--bundle", stick.bundle, *stick.trusted]) as mirror:
        name = f"{mirror.host}/{UNUSUAL}"
        with installed(engine, name), installed(engine, UNUSUAL):
            engine.docker("plugin", "install", "--disable", "--grant-all-permissions", name)
            done = stick.install(engine, UNUSUAL, *stick.trusted)
            assert done.exit_code == 0, done.stderr
            assert "note:" not in done.stderr
            pulled, created = rootfs(engine, name), rootfs(engine, UNUSUAL)
            assert created == pulled
            assert {"srv/same", "dev/zero", "old/through"} <= created.keys()
            assert "old/a" not in created
