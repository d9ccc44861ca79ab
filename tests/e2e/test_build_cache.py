"""Build caches of BuildKit: pushed by one builder, mirrored and pulled through, and used by another builder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import buildx, trixie
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.requirement import require

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def builder() -> Engine:
    """Return an engine that has built nothing yet."""
    return Engine(binaries=trixie.ENGINE_BINARIES, daemon_json=buildx.WITH_CACHES)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY first /first\nCOPY second /second\n")
    for name in ("first", "second"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture(scope="module")
def hub(context: Path) -> Iterator[Mirror]:
    """A registry that a builder has pushed its caches to, in both forms of BuildKit."""
    require(buildx.missing(), Engine.missing(trixie.ENGINE_BINARIES))
    with Mirror() as registry, builder() as engine:
        for tag, more in (("index", ""), ("image", ",image-manifest=true,oci-mediatypes=true")):
            target = f"type=registry,ref={registry.host}/cache:{tag},mode=max{more}"
            buildx.build(engine, context, f"--cache-to={target}")
        yield registry


@pytest.fixture(scope="module")
def mirror(hub: Mirror) -> Iterator[Mirror]:
    """A registry that mirrors the caches, and pulls them through under another name."""
    sections = {
        "upstreams": {"hub": {"url": hub.url, "plain_http": True}},
        "mirrors": [{"name": "cache", "from": "hub/cache", "to": "mirrored"}],
        "proxy": [{"from": "hub/cache", "to": "pulled"}],
    }
    with Mirror(sections=sections) as registry:
        registry.command("sync")
        yield registry


@pytest.mark.parametrize("tag", ["index", "image"])
@pytest.mark.parametrize("name", ["mirrored", "pulled"])
def test_another_builder_uses_the_cache(mirror: Mirror, context: Path, name: str, tag: str) -> None:
    with builder() as engine:
        source = f"type=registry,ref={mirror.host}/{name}:{tag}"
        told = buildx.build(engine, context, f"--cache-from={source}").stderr
    assert told.count("CACHED") == 2, told
