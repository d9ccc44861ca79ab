"""Images through the clients that people use: a push and a pull, a pull through a `proxy:` rule, and a mirrored tag."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness import skopeo
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.image import DOCKER, OCI, PackedImage, pack_image, write_folder, write_oci_layout
from tests.harness.image_clients import Containers, Ctr, Docker, ImageClient, Oras, Skopeo
from tests.harness.mirror import Mirror
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.newest_engine]


@dataclass(frozen=True, slots=True)
class Site:
    """An upstream with images, and a mirror in front of it.

    Attributes:
        upstream: docker-registry with `docker/image:1`, `oci/image:1`, and a copy of both for each client.
        mirror: Mirror that has mirrored both images, and pulls all others through.
        images: The images by dialect, `docker` and `oci`.
    """

    upstream: DockerRegistry
    mirror: Mirror
    images: dict[str, PackedImage]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require(skopeo.missing(), DockerRegistry.missing())
    folder = tmp_path_factory.mktemp("images")
    files = {"etc/greeting": b"hello\n"}
    images = {"docker": pack_image(files, DOCKER), "oci": pack_image(files, OCI)}
    sources = {
        "docker": write_folder(images["docker"], folder / "docker"),
        "oci": write_oci_layout(images["oci"], folder / "oci", "1"),
    }
    with DockerRegistry() as upstream:
        for dialect, source in sources.items():
            skopeo.copy(source, f"docker://{upstream.host}/{dialect}/image:1")
        sections = {
            "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
            "proxy": [{"from": "hub/**", "to": "proxied/**"}],
            "mirrors": [
                {"name": dialect, "from": f"hub/{dialect}/image", "to": f"mirrored/{dialect}"} for dialect in images
            ],
        }
        with Mirror(sections=sections) as mirror:
            mirror.command("sync")
            yield Site(upstream, mirror, images)


def exercise(client: ImageClient, site: Site, name: str, dialect: str) -> None:
    """Pull an image of the upstream, push it to the mirror, and pull it from there in three ways."""
    host, digest = site.mirror.host, site.images[dialect].manifest_digest
    # Each client gets repositories of its own at the upstream, so that the mirror holds nothing of them.
    source = f"{site.upstream.host}/{dialect}/image:1"
    own = f"{name}/{dialect}:1"
    skopeo.copy(f"docker://{source}", f"docker://{site.upstream.host}/{own}")

    assert client.pull(source) == digest
    pushed = client.push(source, f"{host}/pushed/{own}")
    client.forget()
    for reference, wanted in (
        (f"{host}/pushed/{own}", pushed),
        (f"{host}/proxied/{own}", digest),
        (f"{host}/mirrored/{dialect}:1", digest),
    ):
        assert client.pull(reference) == wanted
        client.forget()
    assert not [line for line in site.mirror.log if line.get("status", 0) >= 500]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short: podman accepts 50 characters."""
    with TemporaryDirectory(prefix="mirror-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("dialect", ["docker", "oci"])
@pytest.mark.parametrize("program", ["podman", "buildah", "skopeo", "oras"])
def test_a_client_without_a_daemon(site: Site, short_path: Path, program: str, dialect: str) -> None:
    client: ImageClient
    match program:
        case "skopeo":
            client = Skopeo(short_path)
        case "oras":
            require(Oras.missing())
            client = Oras(short_path)
        case _:
            require(Containers.missing(program))
            client = Containers(program, short_path)
    exercise(client, site, program, dialect)


@pytest.mark.parametrize("dialect", ["docker", "oci"])
@pytest.mark.parametrize("program", ["docker", "ctr"])
def test_an_engine_and_its_containerd(
    engine: Engine, binaries: Path | None, site: Site, program: str, dialect: str
) -> None:
    release = engine.version().partition("+")[0]
    ctr = (binaries or Path("/usr/bin")) / "ctr"
    client = Docker(engine) if program == "docker" else Ctr(engine, ctr)
    exercise(client, site, f"{program}-{release}", dialect)
