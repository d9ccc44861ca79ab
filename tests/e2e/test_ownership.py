"""Commands of root and of other users beside a server of its own user."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import plugins
from tests.harness.command import CompletedRun, run
from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import PROGRAM, Mirror
from tests.harness.packing import PackedPlugin, digest_of, pack
from tests.harness.process import Service
from tests.harness.pushing import push, send
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

USER, GROUP, STRANGER = 64_123, 64_124, 64_125


def as_user(user: int, group: int) -> list[str]:
    """Return the command that runs a program as another user, without capabilities."""
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]


def missing() -> str | None:
    """Return a sentence that says why the server cannot run as another user here, or None."""
    return None if os.geteuid() == 0 else "a server of another user needs root"


def require_reachable() -> None:
    """Skip the test if other users cannot run the program, as in a checkout below `/root`. No package is missing."""
    if run([*as_user(USER, GROUP), PROGRAM, "--version"], check=False).exit_code != 0:
        pytest.skip(f"other users cannot run {PROGRAM} (fix: make the checkout and its Python readable)")


class UsersMirror(Mirror):
    """A server of an unprivileged user, with its data folder in `folder`.

    Args:
        upstream: Base URL of the upstream of the mirror rule.
        owner: Owner of the data folder. Its group is always that of the server.
        mode: Mode of the data folder.
    """

    def __init__(self, upstream: str, owner: int, mode: int) -> None:
        sections = {
            "upstreams": {"hub": {"url": upstream, "plain_http": True, "limits": {"requests_per_second": 1000}}},
            "mirrors": [{"name": "acme", "from": "hub/acme/driver", "to": "acme/driver"}],
        }
        super().__init__(sections=sections, wrapper=as_user(USER, GROUP))
        self._owner, self._mode = owner, mode

    def _made(self) -> Service:
        service = super()._made()
        self.folder.chmod(0o755)
        self.data.mkdir()
        os.chown(self.data, self._owner, GROUP)
        self.data.chmod(self._mode)
        return service

    def as_root(self, *arguments: str, umask: int, input_text: str | None = None) -> CompletedRun:
        """Run a command as root with a umask."""
        shell = f'umask {umask:03o} && exec "$@"'
        argv = ["sh", "-c", shell, "sh", PROGRAM, *arguments, "--config", str(self.config)]
        return run(argv, input_text=input_text)

    def readiness(self) -> tuple[int, str]:
        """Return status and body of `/readyz`."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture(scope="module")
def upstream(one: PackedPlugin) -> Iterator[DockerRegistry]:
    require(DockerRegistry.missing(), missing())
    require_reachable()
    with DockerRegistry() as registry:
        push(one, registry.url, "acme/driver", "1")
        yield registry


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> PackedPlugin:
    require(plugins.missing())
    return pack(plugins.volume_plugin(tmp_path_factory.mktemp("plugins") / "one", version="1"))


@pytest.mark.parametrize(
    ("owner", "mode", "umask"),
    [
        pytest.param(USER, 0o700, 0o077, id="own-077"),
        pytest.param(0, 0o770, 0o027, id="group-027"),
    ],
)
def test_the_server_goes_on_with_everything_that_root_leaves_behind(
    upstream: DockerRegistry, one: PackedPlugin, tmp_path: Path, owner: int, mode: int, umask: int
) -> None:
    with UsersMirror(upstream.url, owner, mode) as mirror:
        mirror.as_root("sync", umask=umask)
        mirror.as_root("tag", "acme/driver:1", "acme/driver:2", umask=umask)
        mirror.as_root("user", "add", "anna", "--password-stdin", umask=umask, input_text="a long password\n")
        mirror.as_root("token", "create", "anna", umask=umask)
        mirror.as_root("pack", str(plugins.volume_plugin(tmp_path / "p")), "-t", "acme/packed:1", umask=umask)
        assert mirror.readiness() == (
            200,
            '{"status": "ok", "writes": "ok", '
            '"checks": {"store": "ok", "space": "ok", "catalog": "ok", "changes": "ok", "files": "ok"}}',
        )

        server = as_user(USER, GROUP)
        paths = [mirror.data, *mirror.data.rglob("*")]
        blobs = [path for path in paths if path.is_file() and "blobs" in path.parts]
        for needed, those in (("-r", blobs), ("-w", sorted({*paths}.difference(blobs)))):
            denied = f'for path; do test {needed} "$path" || echo "$path"; done'
            assert run([*server, "sh", "-c", denied, "sh", *map(str, those)]).stdout == ""
        # The server itself deletes, receives and continues what root has begun.
        root = f"{mirror.url}/v2/acme/driver"
        send("DELETE", f"{root}/manifests/{digest_of(one.manifest)}")
        push(one, mirror.url, "acme/driver", "3")
        mirror.stop()
        mirror.as_root("sync", umask=umask)  # root alone creates the log of the catalog
        mirror.start()
        push(one, mirror.url, "acme/other", "1")
        assert run([*server, PROGRAM, "sync", "--config", str(mirror.config)]).exit_code == 0


def test_readiness_names_what_the_server_cannot_read(upstream: DockerRegistry, one: PackedPlugin) -> None:
    with UsersMirror(upstream.url, USER, 0o700) as mirror:
        push(one, mirror.url, "acme/driver", "1")
        digest = digest_of(one.layer)
        (blob,) = mirror.data.glob(f"blobs/sha256/*/{digest.removeprefix('sha256:')}")
        os.chown(blob, 0, 0)
        with pytest.raises(urllib.error.HTTPError) as refused:
            send("GET", f"{mirror.url}/v2/acme/driver/blobs/{digest}")
        with refused.value as answer:
            assert answer.code == 500
            assert str(mirror.data) not in answer.read().decode()
        wait_until(lambda: mirror.readiness()[0] == 503, "the server is not ready")
        said = mirror.readiness()[1]
        assert f"{blob} belongs to root" in said
        assert f"chown -R {USER} {mirror.data}" in said

        os.chown(blob, USER, GROUP)
        wait_until(lambda: mirror.readiness()[0] == 200, "the server is ready again")
        send("GET", f"{mirror.url}/v2/acme/driver/blobs/{digest}")


def test_another_user_is_refused_before_anything_is_written(upstream: DockerRegistry, one: PackedPlugin) -> None:
    with UsersMirror(upstream.url, USER, 0o755) as mirror:
        push(one, mirror.url, "acme/driver", "1")
        configured = ["--config", str(mirror.config)]
        for command in (["sync", *configured], ["ls", *configured], ["ls", "--data", str(mirror.data)]):
            refused = run([*as_user(STRANGER, STRANGER), PROGRAM, *command], check=False)
            assert refused.exit_code == 5
            assert f"belongs to {USER}" in refused.stderr
            assert f"sudo -u {USER} plugin-mirror" in refused.stderr
        # The server goes on to write its own files, such as locks and the snapshot of names.
        found = run(["find", str(mirror.data), "-not", "-uid", str(USER)])
        assert found.stdout == ""

        mirror.folder.chmod(0o700)  # now not even the owner can get there
        hidden = run([*as_user(USER, GROUP), PROGRAM, "ls", "--data", str(mirror.data)], check=False)
        assert (hidden.exit_code, len(hidden.stderr.splitlines())) == (5, 1)
        assert f"Permission denied: {mirror.data}" in hidden.stderr
