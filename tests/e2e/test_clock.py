"""A server whose clock is set back and forth while clients use it."""

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.harness import clock, plugins, skopeo
from tests.harness.clock import SetClock
from tests.harness.command import run
from tests.harness.docker_registry import DockerRegistry
from tests.harness.image import OCI, pack_image, write_folder
from tests.harness.mirror import PROGRAM, Mirror
from tests.harness.packing import PackedPlugin, digest_of, pack
from tests.harness.pushing import push
from tests.harness.readiness import wait_until
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

PASSWORD = "a long password"
LOGIN = "Basic " + b64encode(f"anna:{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def upstream() -> Iterator[DockerRegistry]:
    require(clock.missing(), DockerRegistry.missing(), skopeo.missing(), plugins.missing())
    with DockerRegistry() as registry:
        yield registry


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[PackedPlugin]:
    """Ever new versions of a plugin."""
    return (pack(plugins.volume_plugin(tmp_path / f"v{number}", version=str(number))) for number in range(100))


def answer(mirror: Mirror, method: str, path: str, body: bytes | None = None, login: str = LOGIN) -> tuple[str, bytes]:
    """Send a request, and return the Location and the body of its answer."""
    request = urllib.request.Request(
        urljoin(mirror.url, path),
        data=body,
        method=method,
        headers={"Authorization": login, "Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.headers.get("Location", ""), response.read()


def new_token(mirror: Mirror) -> str:
    _, body = answer(mirror, "GET", "/token?service=plugin-mirror&scope=repository:acme/pushed:pull,push")
    return f"Bearer {json.loads(body)['token']}"


def served(mirror: Mirror, name: str) -> str:
    """Return the digest that the server has for the tag `1` of a repository."""
    request = urllib.request.Request(f"{mirror.url}/v2/{name}/manifests/1", method="HEAD")
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(response.headers["Docker-Content-Digest"])


def has_moved_to(mirror: Mirror, digest: str) -> bool:
    """Return True if pull-through has moved a tag to a digest."""
    return any(line["event"] == "tag moved by pull-through" and line["after"] == digest for line in mirror.log)


def test_a_server_goes_on_whatever_is_done_to_its_clock(
    upstream: DockerRegistry, versions: Iterator[PackedPlugin], tmp_path: Path
) -> None:
    time = SetClock(tmp_path)
    sections = {
        "server": {"anonymous": ["pull"]},
        "access": [{"users": ["anna"], "repositories": ["acme/**"], "actions": ["pull", "push"]}],
        "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
        "proxy": [{"from": "hub/**", "to": "**"}],
        "mirrors": [{"name": "often", "from": "hub/store/mirrored", "to": "mirrored", "every": "1s"}],
    }
    push(next(versions), upstream.url, "store/pulled", "1")
    push(next(versions), upstream.url, "store/mirrored", "1")
    with Mirror(sections=sections, wrapper=time.wrapper) as mirror:
        add = [PROGRAM, "user", "add", "anna", "--password-stdin", "--config", str(mirror.config)]
        run(add, input_text=f"{PASSWORD}\n")
        served(mirror, "store/pulled")
        wait_until(lambda: any(line["event"] == "mirror rule ran" for line in mirror.log), "the first run")

        for offset in ("-1d", "+365d", "+0"):
            # A push has begun when the clock is set, and goes on with its token and its session.
            token, content = new_token(mirror), f"content {offset}".encode()
            session, _ = answer(mirror, "POST", "/v2/acme/pushed/blobs/uploads/", b"", token)
            session, _ = answer(mirror, "PATCH", session, content[:4], token)
            time.set(offset)
            session, _ = answer(mirror, "PATCH", session, content[4:], token)
            answer(mirror, "PUT", f"{session}?digest={digest_of(content)}", b"", token)

            # Logins, pushes and pulls of a real client.
            image = pack_image({"etc/offset": offset.encode()}, OCI)
            name = f"docker://{mirror.host}/acme/image:1"
            skopeo.copy(write_folder(image, tmp_path / offset), name, f"--dest-creds=anna:{PASSWORD}")
            assert skopeo.inspect(name, raw=True).stdout_bytes == image.manifest

            # A tag that moves upstream is checked again, and the rule runs again.
            pulled, mirrored = (
                push(next(versions), upstream.url, f"store/{name}", "1") for name in ("pulled", "mirrored")
            )
            wait_until(lambda digest=mirrored: served(mirror, "mirrored") == digest, f"a run after {offset}")
            # On a slow machine the client still gets the old digest: it waits a few seconds at most.
            served(mirror, "store/pulled")
            wait_until(lambda digest=pulled: has_moved_to(mirror, digest), f"a look upstream after {offset}")
