"""The units for systemd, run by systemd on a host of its own, with a secret that only root may read."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.harness import plugins
from tests.harness.mirror import Mirror
from tests.harness.no_network import no_network
from tests.harness.packing import PackedPlugin, pack
from tests.harness.pulling import manifest
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require
from tests.harness.systemd_host import SystemdHost

pytestmark = pytest.mark.e2e

SOURCE = Path(__file__).parents[2] / "deploy/systemd"
UNITS = sorted(path.name for path in SOURCE.iterdir() if path.suffix in (".service", ".timer"))
PASSWORD = "the password"
NAME, TAG = "vieux/sshfs", "latest"
URL = "http://127.0.0.1:5000"


@dataclass
class Site:
    host: SystemdHost
    plugin: PackedPlugin
    config: Path

    def owner(self, path: str) -> str:
        return self.host.run("stat", "--format", "%U %a", path).stdout.strip()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server runs on the host, and an upstream beside the host asks for the login."""
    require(SystemdHost.missing())
    folder = tmp_path_factory.mktemp("systemd")
    plugin = pack(plugins.contiv_plugin(folder / "plugin"))
    with no_network():
        with Mirror(data=folder / "data") as mirror:
            push(plugin, mirror.url, NAME, TAG)
            mirror.command("user", "add", "mirror", "--password-stdin", input_text=f"{PASSWORD}\n")
        access = [{"users": ["mirror"], "repositories": ["**"], "actions": ["pull"]}]
        private = {"server": {"anonymous": []}, "access": access}
        with Mirror(data=folder / "data", sections=private) as upstream, SystemdHost() as host:
            config = host.root / "etc/plugin-mirror/config.yaml"
            install(host, config, upstream.url)
            host.run("systemctl", "start", "plugin-mirror.service")
            wait_until(lambda: host.run("plugin-mirror", "health", check=False).exit_code == 0, "the server to answer")
            yield Site(host, plugin, config)


def install(host: SystemdHost, config: Path, upstream: str) -> None:
    """Do what the comments of the files say."""
    units, secret = host.root / "etc/systemd/system", host.root / "etc/plugin-mirror/secrets/hub-password"
    for name in UNITS:
        shutil.copy(SOURCE / name, units)
    for name in ("plugin-mirror.service", "plugin-mirror-sync.service"):
        (units / f"{name}.d").mkdir()
        shutil.copy(SOURCE / "credentials.conf", units / f"{name}.d")
    (host.root / "etc/sysusers.d").mkdir(exist_ok=True)
    shutil.copy(SOURCE / "plugin-mirror.sysusers", host.root / "etc/sysusers.d/plugin-mirror.conf")
    host.run("systemd-sysusers")
    secret.parent.mkdir(parents=True)
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o400)
    credentials = {"username": "mirror", "password_file": "/etc/plugin-mirror/secrets/hub-password"}
    settings = {
        "server": {"listen": "127.0.0.1:5000", "anonymous": ["pull"]},
        "storage": {"path": "/var/lib/plugin-mirror"},
        "upstreams": {"hub": {"url": upstream, "plain_http": True, "credentials": credentials}},
        "mirrors": [{"name": "sshfs", "from": f"hub/{NAME}", "to": NAME}],
    }
    config.write_text(yaml.safe_dump(settings))
    host.run("systemctl", "daemon-reload")


def test_systemd_understands_each_unit(site: Site) -> None:
    verified = site.host.run("systemd-analyze", "verify", *(f"/etc/systemd/system/{name}" for name in UNITS))
    assert [line for line in verified.stderr.splitlines() if "plugin-mirror" in line] == []


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_leaves_little_exposed(site: Site, name: str) -> None:
    """The scale ends at 100. Units without protection are at 96."""
    site.host.run("systemd-analyze", "security", "--threshold=20", name)


def test_the_server_runs_as_its_user_with_a_folder_of_its_own(site: Site) -> None:
    pid = site.host.run("systemctl", "show", "--property=MainPID", "--value", "plugin-mirror").stdout.strip()
    assert site.host.run("ps", "-o", "user:20=", "-p", pid).stdout.strip() == "plugin-mirror"
    assert site.owner("/var/lib/plugin-mirror") == "plugin-mirror 700"
    assert site.owner("/var/lib/plugin-mirror/catalog.sqlite") == "plugin-mirror 600"


def test_a_sync_by_hand_uses_the_secret_and_the_user_of_the_server(site: Site) -> None:
    done = site.host.run("systemctl", "start", "plugin-mirror-sync.service", check=False)
    assert done.exit_code == 0, site.host.journal("plugin-mirror-sync")
    assert manifest(URL, NAME, TAG)[2] == site.plugin.manifest
    digest = site.plugin.layer_digest.removeprefix("sha256:")
    assert site.owner(f"/var/lib/plugin-mirror/blobs/sha256/{digest[:2]}/{digest}") == "plugin-mirror 600"
    # The user cannot read the file of the secret: systemd gave it to the unit.
    read = site.host.run(
        "runuser", "-u", "plugin-mirror", "--", "cat", "/etc/plugin-mirror/secrets/hub-password", check=False
    )
    assert read.exit_code == 1


def test_what_commands_of_root_create_belongs_to_the_user(site: Site) -> None:
    assert json.loads(site.host.run("plugin-mirror", "sync", "--json").stdout)
    assert site.host.run("find", "/var/lib/plugin-mirror", "!", "-user", "plugin-mirror").stdout == ""


def test_a_changed_configuration_is_read_again(site: Site) -> None:
    settings = yaml.safe_load(site.config.read_text())
    settings["server"]["anonymous"] = ["pull", "push"]
    site.config.write_text(yaml.safe_dump(settings))
    site.host.run("systemctl", "reload", "plugin-mirror")
    push(site.plugin, URL, "acme/driver", TAG)
    assert manifest(URL, "acme/driver", TAG)[2] == site.plugin.manifest


def test_a_backup_is_made_in_the_folder_of_the_user(site: Site) -> None:
    site.host.run("install", "-d", "-m", "0700", "-o", "plugin-mirror", "/mnt/backup/plugin-mirror")
    site.host.run("systemctl", "start", "plugin-mirror-backup.service")
    assert site.owner("/mnt/backup/plugin-mirror/blobs") == "plugin-mirror 700"


def test_the_timers_have_a_next_run(site: Site) -> None:
    timers = [name for name in UNITS if name.endswith(".timer")]
    site.host.run("systemctl", "start", *timers)
    for timer in timers:
        shown = site.host.run("systemctl", "show", "--property=ActiveState,SubState", timer).stdout
        assert shown.split() == ["ActiveState=active", "SubState=waiting"]


def test_a_folder_of_the_earlier_unit_with_a_dynamic_user_is_taken_over(site: Site) -> None:
    state = "User=plugin-mirror\nStateDirectory=plugin-mirror-earlier\n"
    unit = site.host.root / "etc/systemd/system/earlier.service"
    service = "[Service]\nType=oneshot\nUMask=0077\nExecStart=/bin/sh -c 'echo here >> ${STATE_DIRECTORY}/file'\n"
    unit.write_text(f"{service}DynamicUser=yes\n{state.replace('User=plugin-mirror', 'User=earlier')}")
    for _ in range(2):
        site.host.run("systemctl", "daemon-reload")
        site.host.run("systemctl", "start", "earlier.service")
        unit.write_text(service + state)
    assert site.owner("/var/lib/plugin-mirror-earlier/file") == "plugin-mirror 600"
    assert site.host.run("cat", "/var/lib/plugin-mirror-earlier/file").stdout == "here\nhere\n"


def test_the_server_stops_when_it_is_told_to(site: Site) -> None:
    site.host.run("systemctl", "stop", "plugin-mirror")
    shown = site.host.run("systemctl", "show", "--property=Result,ExecMainStatus", "plugin-mirror").stdout
    assert set(shown.split()) == {"Result=success", "ExecMainStatus=0"}
