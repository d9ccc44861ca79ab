"""Data that cannot be written: a read-only mount, and a folder of another user."""

import http.client
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import plugins
from tests.harness.command import CompletedRun, run
from tests.harness.disks import read_only_view
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror
from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, digest_of, pack
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

NAME = "contiv/v2plugin"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    return pack(plugins.contiv_plugin(tmp_path_factory.mktemp("packed") / "contiv"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, packed: PackedPlugin) -> Path:
    """A snapshot of the data folder of a running server, with an unfinished log and without shared memory."""
    folder = tmp_path_factory.mktemp("snapshot") / "data"
    with Mirror() as mirror:
        push(packed, mirror.url, NAME, "1.0")
        shutil.copytree(mirror.data, folder)
    (folder / "catalog.sqlite-shm").unlink()
    assert (folder / "catalog.sqlite-wal").stat().st_size
    return folder


@pytest.fixture(scope="module")
def view(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with read_only_view(data, tmp_path_factory.mktemp("mounts") / "view") as view:
        yield view


def ask(
    mirror: Mirror, method: str, path: str, body: bytes | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=120)
    try:
        connection.request(method, path, body, {"Content-Type": MANIFEST_TYPE, "Accept": MANIFEST_TYPE})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(view: Path) -> Iterator[Mirror]:
    sections: dict[str, Any] = {
        "server": {"read_only": True, "anonymous": ["pull"]},
        "storage": {"path": str(view)},
        "upstreams": {
            "hub": {"url": "http://127.0.0.1:9", "plain_http": True, "limits": {"requests_per_second": 1}},
        },
        "proxy": [{"from": "hub/**", "to": "hub/**"}],
        "mirrors": [{"name": "nightly", "from": f"hub/{NAME}", "to": NAME, "every": "1h"}],
    }
    with Mirror(workers=2, data=view, sections=sections) as mirror:
        yield mirror


def test_everything_is_served(server: Mirror, packed: PackedPlugin) -> None:
    status, _, manifest = ask(server, "GET", f"/v2/{NAME}/manifests/1.0")
    assert (status, manifest) == (200, packed.manifest)
    for blob in (packed.config, packed.layer):
        status, _, content = ask(server, "GET", f"/v2/{NAME}/blobs/{digest_of(blob)}")
        assert (status, content) == (200, blob)
    assert json.loads(ask(server, "GET", "/readyz")[2]) == {
        "status": "ok",
        "checks": {"store": "ok", "catalog": "ok"},
        "mode": "read-only",
    }
    for path in ("/metrics", "/api/v1/mirrors", "/api/v1/upstreams", f"/v2/{NAME}/tags/list"):
        assert ask(server, "GET", path)[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/v2/{NAME}/blobs/uploads/"),
        ("POST", f"/v2/other/blobs/uploads/?from={NAME}&mount=sha256:" + "0" * 64),
        ("PUT", f"/v2/{NAME}/manifests/2.0"),
        ("DELETE", f"/v2/{NAME}/manifests/1.0"),
        ("DELETE", f"/v2/{NAME}/blobs/sha256:" + "0" * 64),
        ("PATCH", f"/v2/{NAME}/blobs/uploads/00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_change_is_answered_405_with_the_reason(server: Mirror, packed: PackedPlugin, method: str, path: str) -> None:
    status, headers, body = ask(server, method, path, packed.manifest if method == "PUT" else b"")
    (error,) = json.loads(body)["errors"]
    assert (status, error["code"], headers["Allow"]) == (405, "UNSUPPORTED", "GET, HEAD")
    assert "this registry is read-only" in error["message"]


def test_a_name_of_a_proxy_rule_that_is_not_held_says_why(server: Mirror) -> None:
    status, _, body = ask(server, "GET", "/v2/hub/vieux/sshfs/manifests/latest")
    assert (status, "server.read_only" in body.decode()) == (404, True)


def test_commands_that_read_need_no_flag(view: Path, server: Mirror) -> None:
    assert json.loads(plugin_mirror("ls", "--data", str(view), "--json").stdout) == [{"name": NAME, "tags": ["1.0"]}]
    assert "Kind:" in plugin_mirror("inspect", f"{NAME}:1.0", "--data", str(view)).stdout
    assert plugin_mirror("lint", f"{NAME}:1.0", "--data", str(view), check=False).exit_code in {0, 1}
    assert plugin_mirror("diff", f"{NAME}:1.0", f"{NAME}:1.0", "--data", str(view)).exit_code == 0
    assert "nightly" in server.command("status").stdout
    # The upstream does not answer, which is all that a dry run complains about: it shares no limits here.
    assert "no connection" in server.command("sync", "--dry-run", check=False).stdout


@pytest.mark.parametrize("command", [["serve"], ["tag", f"{NAME}:1.0", "other:1"], ["user", "rm", "nobody"]])
def test_what_writes_is_refused_in_one_sentence(view: Path, command: list[str]) -> None:
    done = plugin_mirror(*command, "--data", str(view), check=False)
    assert done.exit_code == 5
    (line,) = done.stderr.splitlines()
    assert "Read-only file system" in line
    assert str(view) in line
    assert "serve --read-only" in line


@pytest.fixture
def theirs(data: Path) -> Iterator[Path]:
    """A copy of the data folder that belongs to another user, and that everybody may read."""
    require(None if os.geteuid() == 0 else "running a program as another user needs root")
    with tempfile.TemporaryDirectory(prefix="plugin-mirror-test-") as made:
        folder = Path(made)
        shutil.copytree(data, folder, dirs_exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.chown(path, 65534, 65534)
        yield folder


def test_another_user_reads_what_the_owner_lets_them_read(theirs: Path) -> None:
    # Root without capabilities is a user like any other, and can enter the folder of the interpreter.
    another = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", PROGRAM]

    def as_another(*arguments: str) -> CompletedRun:
        return run([*another, *arguments, "--data", str(theirs)], check=False, timeout_seconds=120)

    assert NAME in as_another("ls").stdout
    refused = as_another("tag", f"{NAME}:1.0", "other:1")
    assert (refused.exit_code, "serve --read-only" in refused.stderr) == (5, True)
    (theirs / "catalog.sqlite").chmod(0o600)
    unreadable = as_another("ls")
    assert unreadable.exit_code == 5
    assert f"{theirs / 'catalog.sqlite'} belongs to nobody, and root may not read it; fix: " in unreadable.stderr
