"""The offline kit, on a machine without a route: each way of installing leads to a server that takes and gives plugins.

The commands are those of the guide. The kit is built without a network too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deploy.release import offline_kit
from deploy.release.checkout import ROOT, ReleaseError, release_time
from deploy.release.debian_package import BOOKWORM, TRIXIE, DebianRelease
from deploy.release.offline_kit import Content, build_kit
from deploy.release.wheels import Target, collect
from tests.harness import debian_base, plugins, release_image, skopeo
from tests.harness.command import run
from tests.harness.engine import Engine
from tests.harness.no_network import has_no_route, no_network
from tests.harness.process import Service
from tests.harness.readiness import http_answers, wait_until
from tests.harness.requirement import require
from tests.harness.systemd_host import SystemdHost
from tests.harness.throwaway_root import ThrowawayRoot
from tests.support.release_build import build_elsewhere

# The first run downloads wheels and Debian packages.
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.newest_engine, pytest.mark.timeout(1800)]

URL = "http://127.0.0.1:5000"
PLUGIN = "127.0.0.1:5000/acme/volumes:1.0"
DEBIAN = {12: "bookworm", 13: "trixie"}
PUSH_ALLOWED = "PLUGIN_MIRROR_SERVER__ANONYMOUS=pull,push"
GUIDE = (ROOT / offline_kit.GUIDE).read_text()


def commands(heading: str) -> list[str]:
    """Return the command blocks below a heading of the guide."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    assert section, heading
    return re.findall(r"^```sh\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Site:
    """A machine without a network.

    Attributes:
        engine: its engine.
        kit: folder of the unpacked kit.
        driver: folder of a volume driver for `docker plugin create`.
    """

    engine: Engine
    kit: Path
    driver: Path

    def exchange_plugins(self) -> None:
        """Push a plugin to the server and install it from there."""
        self.engine.docker("plugin", "create", PLUGIN, str(self.driver))
        self.engine.docker("plugin", "push", PLUGIN)
        self.engine.docker("plugin", "rm", PLUGIN)
        self.engine.docker("plugin", "install", "--grant-all-permissions", PLUGIN)
        assert self.engine.inspect_plugin(PLUGIN)["Enabled"]
        self.engine.docker("plugin", "rm", "--force", PLUGIN)


@pytest.fixture(scope="module")
def content(whole: bool) -> Content:
    """Content of the kit: what this machine can run, or everything in ``make matrix``."""
    everything = Content(base=release_image.BASE)
    if whole:
        return everything
    return replace(everything, targets=[Target("3.11", os.uname().machine)], releases=[BOOKWORM])


@pytest.fixture(scope="module")
def offline(content: Content) -> Iterator[None]:
    """Download what the tests need, then take the network away."""
    require(plugins.missing(), skopeo.missing(), ThrowawayRoot.missing(), debian_base.missing())
    try:
        for target in content.targets:
            collect(target)
    except ReleaseError as error:
        require(str(error))
    debian_base.extracted()
    if TRIXIE in content.releases:
        for release in DEBIAN.values():
            debian_base.installed(release)
    with no_network():
        assert has_no_route()
        yield


@pytest.fixture(scope="module")
def site(content: Content, offline: None, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    release_image.import_base(engine)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engine.client_environment.items():
            patch.setenv(name, value)
        build_kit(content, folder, release_time())
    engine.docker("image", "prune", "--all", "--force")
    run(["sh", "-ec", "\n".join(commands("Unpack it"))], folder=folder)
    return Site(engine, folder / offline_kit.NAME, plugins.volume_plugin(folder / "driver"))


@contextmanager
def unit_started(root: ThrowawayRoot, folder: Path, units: str = "lib/systemd/system") -> Iterator[None]:
    """Run the server as its unit does: the same user, folder and command."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(root.path / units / "plugin-mirror.service")
    service = unit["Service"]
    user, state = service["User"], f"/var/lib/{service['StateDirectory']}"
    root.run("install", "-d", "-m", service["StateDirectoryMode"], "-o", user, "-g", user, state)
    argv = ["env", PUSH_ALLOWED, *service["ExecStart"].split()]
    with Service([*root.entering(user), *argv], log=folder / "server.log", ready=http_answers(f"{URL}/readyz")):
        yield


def test_the_sums_name_each_file(site: Site) -> None:
    named = {line.partition("  ")[2] for line in (site.kit / "SHA256SUMS").read_text().splitlines()}
    files = {str(path.relative_to(site.kit)) for path in site.kit.rglob("*") if path.is_file()}
    assert files == named | {"SHA256SUMS"}
    assert {"html/index.html", "html/searchindex.js"} <= files
    assert not [file for file in files if "deploy/release" in file or "__pycache__" in file]


def test_the_debian_package(site: Site, tmp_path: Path) -> None:
    install, as_user = commands("With the Debian package")
    *steps, start = install.splitlines()
    assert start == "systemctl enable --now plugin-mirror"
    with ThrowawayRoot(site.kit) as root:
        root.run("sh", "-ec", "\n".join([f"cd {site.kit}", *steps]))
        assert root.run("dpkg", "--verify", "plugin-mirror").stdout == ""
        data = root.run("stat", "--format", "%U:%G %a", "/var/lib/plugin-mirror")
        assert data.stdout.strip() == "plugin-mirror:plugin-mirror 700"
        # Before the first start, too.
        root.run("sh", "-ec", as_user.replace("ls", "user add anna --password-stdin <<'END'\nthe password\nEND"))
        with unit_started(root, tmp_path):
            site.exchange_plugins()
            assert "acme/volumes" in root.run("sh", "-ec", as_user).stdout
        bash = "source /usr/share/bash-completion/completions/plugin-mirror; complete -p plugin-mirror"
        assert root.run("bash", "-c", bash).stdout.startswith("complete ")
        assert (root.path / "usr/share/man/man1/plugin-mirror-serve.1.gz").exists()
        enabled = "/etc/systemd/system/multi-user.target.wants/plugin-mirror.service"
        root.run("install", "-d", str(Path(enabled).parent))
        root.run("ln", "-s", "/lib/systemd/system/plugin-mirror.service", enabled)

        root.run("dpkg", "--remove", "plugin-mirror")
        assert not (root.path / "usr/lib/plugin-mirror").exists()
        assert (root.path / "etc/plugin-mirror/config.yaml").exists()
        purged = root.run("dpkg", "--purge", "plugin-mirror")
        assert "the data in /var/lib/plugin-mirror and their user plugin-mirror stay" in purged.stderr
        assert "/etc/plugin-mirror" not in purged.stderr
        assert not (root.path / "etc/plugin-mirror").exists()
        assert not (root.path / enabled.lstrip("/")).is_symlink()
        assert (root.path / "var/lib/plugin-mirror/blobs").exists()


@pytest.mark.matrix_only
@pytest.mark.parametrize("release", [BOOKWORM, TRIXIE], ids=lambda release: str(release.number))
def test_the_debian_package_in_a_small_debian(site: Site, release: DebianRelease, tmp_path: Path) -> None:
    lower = tmp_path / "debian"
    lower.mkdir()
    run(["tar", "-xf", str(debian_base.installed(DEBIAN[release.number])), "-C", str(lower)])
    with ThrowawayRoot(site.kit, lower=lower) as root:
        root.run("dpkg", "--install", str(site.kit / "debian" / release.file))
        with unit_started(root, tmp_path):
            site.exchange_plugins()


def test_a_package_that_never_ran_leaves_nothing(site: Site) -> None:
    install = commands("With the Debian package")[0].splitlines()[0]
    with ThrowawayRoot(site.kit) as root:
        root.run("sh", "-ec", f"cd {site.kit}\n{install}")
        assert root.run("dpkg", "--purge", "plugin-mirror").stderr == ""
        assert not (root.path / "var/lib/plugin-mirror").exists()


def test_a_removal_stops_the_server_the_commands_and_the_timers(site: Site) -> None:
    require(SystemdHost.missing())
    timers, units = ["plugin-mirror-sync.timer", "plugin-mirror-backup.timer"], ["plugin-mirror.service"]
    oneshots = ["plugin-mirror-sync.service", "plugin-mirror-backup.service"]
    with SystemdHost() as host:
        # A machine that is a container may forbid packages to stop services.
        host.run("rm", "-f", "/usr/sbin/policy-rc.d")
        package = shutil.copy(site.kit / "debian" / BOOKWORM.file, host.root / "tmp")
        host.run("dpkg", "--install", f"/tmp/{Path(package).name}")
        for name in oneshots:
            drop_in = host.root / f"etc/systemd/system/{name}.d/slow.conf"
            drop_in.parent.mkdir()
            drop_in.write_text("[Unit]\nRequiresMountsFor=\n[Service]\nExecStart=\nExecStart=/bin/sleep infinity\n")
        (host.root / "mnt/backup/plugin-mirror").mkdir(parents=True)
        host.run("systemctl", "daemon-reload")
        host.run("systemctl", "start", *timers, *units)
        host.run("systemctl", "start", "--no-block", *oneshots)

        def states() -> list[str]:
            return host.run("systemctl", "is-active", *timers, *units, *oneshots, check=False).stdout.split()

        wait_until(lambda: states() == ["active"] * 3 + ["activating"] * 2, "everything to run")
        host.run("dpkg", "--remove", "plugin-mirror")
        assert not {"active", "activating", "deactivating"} & set(states())


def test_pip(site: Site, tmp_path: Path) -> None:
    install, serve, service = commands("With pip")
    *steps, reload, start = service.splitlines()
    assert (reload, start) == ("systemctl daemon-reload", "systemctl enable --now plugin-mirror.service")
    with ThrowawayRoot(site.kit) as root:
        assert "plugin-mirror" in root.run("sh", "-ec", f"cd {site.kit}\n{install}").stdout
        argv = [*root.entering(), *serve.split()]
        with Service(argv, log=tmp_path / "server.log", ready=http_answers(f"{URL}/readyz")):
            site.exchange_plugins()
        # The units have a user of their own.
        root.run("rm", "-r", "/var/lib/plugin-mirror")
        root.run("sh", "-ec", "\n".join([f"cd {site.kit}", *steps]))
        with unit_started(root, tmp_path, "etc/systemd/system"):
            site.exchange_plugins()


@pytest.mark.parametrize("user", ["", "--user 12345:0"], ids=["own user", "any user of group 0"])
def test_the_image(site: Site, user: str) -> None:
    (start,) = commands("With Docker Engine or podman")
    # The engines of the tests have no bridge to publish ports of, and health is asked for more often.
    options = f"--network host --env {PUSH_ALLOWED} --health-interval 1s {user}"
    start = start.replace("--publish 5000:5000", options)
    assert options in start
    try:
        site.engine.shell(f"cd {site.kit}\n{start}")
        wait_until(lambda: health(site.engine) == "healthy", "the container to be healthy")
        site.exchange_plugins()
        # A command that records who ran it also works for a user without a name.
        site.engine.docker("exec", "plugin-mirror", "plugin-mirror", "pin", "acme/volumes:1.0")
    finally:
        site.engine.docker("rm", "--force", "--volumes", "plugin-mirror", check=False)
        site.engine.docker("volume", "rm", "plugin-mirror", check=False)


def test_the_image_is_an_oci_layout(site: Site) -> None:
    (archive,) = site.kit.glob("*-image.tar")
    told = json.loads(skopeo.inspect(f"oci-archive:{archive}", "--config").stdout)
    assert told["config"]["User"] == "10001:0"


def health(engine: Engine) -> str:
    """Return the state of the container's health, and raise an error with its log if the container has ended."""
    told = engine.docker("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", "plugin-mirror").stdout
    status, state = told.split()
    assert status == "running", engine.docker("logs", "plugin-mirror").stderr
    return state


def test_another_process_builds_an_equal_package(site: Site, tmp_path: Path) -> None:
    (wheel,) = site.kit.glob("wheels/docker_plugin_mirror-*.whl")
    build_elsewhere(
        "from deploy.release.debian_package import BOOKWORM, build_package\n"
        f"build_package(BOOKWORM, Path({str(wheel)!r}), Path({str(tmp_path)!r}), release_time())"
    )
    assert (tmp_path / BOOKWORM.file).read_bytes() == (site.kit / "debian" / BOOKWORM.file).read_bytes()
