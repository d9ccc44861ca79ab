"""Rules and pulls from a registry that is below a path, does not answer HEAD, and keeps short names under library/."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.docker_registry import DockerRegistry
from tests.harness.mirror import Mirror, plugin_mirror
from tests.harness.nginx import Nginx
from tests.harness.packing import packed_from
from tests.harness.pulling import manifest, take
from tests.harness.pushing import push
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

PACKED = packed_from(
    b'{"Description": "a plugin", "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "a.sock"}, '
    b'"Entrypoint": ["/a"]}\n',
    b"a layer",
)


@pytest.fixture
def front() -> Iterator[Nginx]:
    require(DockerRegistry.missing(), Nginx.missing())
    with DockerRegistry() as registry:
        push(PACKED, registry.url, "library/busybox", "1.0")
        hidden = 'if ($request_method = HEAD) { return 404; } if ($request_uri !~ "^/docker/") { return 404; }'
        directives = f"{hidden} rewrite ^/docker(/.*)$ $1 break; proxy_pass {registry.url};"
        with Nginx(f"{directives} proxy_set_header Host $http_host;", workers=1) as running:
            yield running


def test_a_short_name_is_mirrored_and_pulled_through(front: Nginx) -> None:
    sections = {
        "upstreams": {"hub": {"url": f"http://{front.host}/docker", "plain_http": True, "short_names": True}},
        "mirrors": [{"name": "busybox", "from": "hub/busybox", "to": "mirrored"}],
        "proxy": [{"from": "hub/**", "to": "pulled/**"}],
        "server": {"plugin_checks": "off"},
    }
    with Mirror(sections=sections) as mirror:
        plugin_mirror("sync", "--config", str(mirror.folder / "config.yaml"))
        for name in ("mirrored", "pulled/busybox", "pulled/library/busybox"):
            assert manifest(mirror.url, name, "1.0")[::2] == (200, PACKED.manifest)
        assert take(mirror.port, PACKED.layer_digest, name="pulled/busybox").content == PACKED.layer
