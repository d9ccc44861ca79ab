"""Manifests that engines read differently than they seem: engines are misled by them, and our server refuses them."""

from __future__ import annotations

import asyncio
import json
import tempfile
import urllib.error
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.store.registry import Store
from tests.harness import plugins
from tests.harness.docker_registry import DockerRegistry
from tests.harness.engine import Engine
from tests.harness.mirror import Mirror
from tests.harness.packing import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, PackedPlugin, digest_of, pack
from tests.harness.pushing import push

pytestmark = pytest.mark.e2e

#: No plugin may have the host's network or more than 1000 bytes.
STRICT: Final = [
    {"name": "host-network", "action": "deny", "privileges": ["network=host"]},
    {"name": "large", "action": "deny", "larger_than_bytes": 1000},
]
IMAGE_CONFIG: Final = "application/vnd.docker.container.image.v1+json"


def named(kind: str, content: bytes) -> str:
    """Return a descriptor without its braces."""
    return f'"mediaType": "{kind}", "digest": "{digest_of(content)}", "size": {len(content)}'


def again(content: bytes, digest: str = "Digest", size: str = "Size") -> str:
    """Return digest and size of other content, under other member names."""
    return f'"{digest}": "{digest_of(content)}", "{size}": {len(content)}'


def written(config: str, layers: list[str], more: str = "", *, called: str = "layers") -> str:
    listed = ", ".join(f"{{{layer}}}" for layer in layers)
    return (
        f'{{"schemaVersion": 2, "config": {{{config}}}, "{called}": [{listed}], "mediaType": "{MANIFEST_TYPE}"{more}}}'
    )


Attack = Callable[[PackedPlugin, PackedPlugin], str]

#: Each attack combines a harmless plugin and a hidden one in one manifest.
ATTACKS: Final[Mapping[str, Attack]] = {
    "a-config-among-the-layers": lambda seen, hidden: written(
        named(CONFIG_TYPE, seen.config), [named(LAYER_TYPE, seen.layer), named(CONFIG_TYPE, hidden.config)]
    ),
    "a-config-among-the-layers-typed-as-a-layer-elsewhere": lambda seen, hidden: written(
        named(CONFIG_TYPE, seen.config),
        [
            named(LAYER_TYPE, seen.layer),
            f'{named(LAYER_TYPE, hidden.config)}, "urls": ["x:"], "MediaType": "{CONFIG_TYPE}"',
        ],
    ),
    "an-image-with-a-plugin-among-its-layers": lambda seen, hidden: written(
        named(IMAGE_CONFIG, seen.config), [named(CONFIG_TYPE, hidden.config), named(LAYER_TYPE, seen.layer)]
    ),
    "another-config-under-another-case": lambda seen, hidden: written(
        f"{named(CONFIG_TYPE, seen.config)}, {again(hidden.config)}", [named(LAYER_TYPE, seen.layer)]
    ),
    "another-config-under-the-long-s": lambda seen, hidden: written(
        f"{named(CONFIG_TYPE, seen.config)}, {again(hidden.config, 'DIGEST', chr(0x17F) + 'ize')}",
        [named(LAYER_TYPE, seen.layer)],
    ),
    "another-config-under-the-same-name": lambda seen, hidden: written(
        f"{named(CONFIG_TYPE, seen.config)}, {again(hidden.config, 'digest', 'size')}",
        [named(LAYER_TYPE, seen.layer)],
    ),
    "another-layer": lambda seen, hidden: written(
        named(CONFIG_TYPE, seen.config), [f"{named(LAYER_TYPE, seen.layer)}, {again(hidden.layer)}"]
    ),
    "layers-in-capitals": lambda seen, hidden: written(
        named(CONFIG_TYPE, seen.config), [named(LAYER_TYPE, hidden.layer)], called="Layers"
    ),
    "a-second-config-in-capitals": lambda seen, hidden: written(
        named(CONFIG_TYPE, seen.config),
        [named(LAYER_TYPE, seen.layer)],
        f', "CONFIG": {{{named(CONFIG_TYPE, hidden.config)}}}',
    ),
    "a-manifest-among-the-layers": lambda seen, hidden: written(
        named(CONFIG_TYPE, seen.config), [named(LAYER_TYPE, seen.layer), named(MANIFEST_TYPE, hidden.manifest)]
    ),
}


def installed(engine: Engine, reference: str) -> str | None:
    """Install a plugin and remove it again.

    Returns:
        The network type of the installed plugin, or None if the engine installs nothing.
    """
    done = engine.docker("plugin", "install", "--disable", "--grant-all-permissions", reference, check=False)
    if done.exit_code:
        assert reference not in engine.docker("plugin", "ls", "--format", "{{.Name}}").stdout.split()
        return None
    network = str(engine.inspect_plugin(reference)["Config"]["Network"]["Type"])
    engine.docker("plugin", "rm", reference)
    return network


#: Network type of the plugin that engines install from a registry without checks. Three attacks are left out. With a
#: config among the layers, chance decides which one is fetched last. With an image or a manifest among the layers,
#: these releases ask for privileges first and find no config. A program that uses the engine's API need not ask.
HIDDEN: Final = {
    "another-config-under-another-case": "host",
    "another-config-under-the-long-s": "host",
    "another-config-under-the-same-name": "host",
    "a-second-config-in-capitals": "host",
    "another-layer": "",
    "layers-in-capitals": "",
}
#: Attacks that docker-registry accepts. It refuses a manifest among the layers.
UPSTREAM: Final = sorted(ATTACKS.keys() - {"a-manifest-among-the-layers"})


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[PackedPlugin, PackedPlugin]:
    """A harmless plugin and one that asks for the host's network.

    Each asks for just one privilege, since affected engines never compare the first one with what was granted.
    """
    folder = tmp_path_factory.mktemp("plugins")
    seen = plugins.volume_plugin(folder / "seen", version="seen", capabilities=["CAP_SYSLOG"])
    return pack(seen), pack(plugins.volume_plugin(folder / "hidden", version="hidden", network="host"))


@pytest.fixture(scope="module")
def upstream(registry: DockerRegistry, pair: tuple[PackedPlugin, PackedPlugin]) -> DockerRegistry:
    """A registry of another vendor, which accepts these manifests."""
    seen, hidden = pair
    for name in UPSTREAM:
        push(seen, registry.url, f"upstream/{name}", "seen")
        push(hidden, registry.url, f"upstream/{name}", "hidden")
        push(seen, registry.url, f"upstream/{name}", "1", manifest=ATTACKS[name](seen, hidden).encode())
    return registry


@pytest.fixture(scope="module")
def strict(upstream: DockerRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """A mirror with a policy and an upstream for pull-through. Checks of the packing are off."""
    sections = {
        "server": {"plugin_checks": "off"},
        "admission": {"rules": STRICT},
        "upstreams": {"hub": {"url": upstream.url, "plain_http": True}},
        "proxy": [{"from": "hub/upstream/*", "to": "pulled/*"}],
        "mirrors": [{"name": "all", "from": "hub/upstream/*", "to": "mirrored/*", "tags": {"include": ["1"]}}],
    }
    with Mirror(workers=2, sections=sections) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def lenient(pair: tuple[PackedPlugin, PackedPlugin]) -> Iterator[Mirror]:
    """A mirror without a policy, whose data folder holds the attacks of a time when they were not refused."""
    with tempfile.TemporaryDirectory(prefix="held-") as folder:
        data = Path(folder) / "data"
        asyncio.run(hold(data, *pair))
        with Mirror(data=data) as mirror:
            yield mirror


async def hold(data: Path, seen: PackedPlugin, hidden: PackedPlugin) -> None:
    """Store every attack without the checks that earlier versions lacked."""
    async with Store.open(data) as store:
        for name, attack in ATTACKS.items():
            repository = Repository.parse(f"held/{name}")
            for blob in (seen.config, seen.layer, hidden.config, hidden.layer, hidden.manifest):
                upload = await store.begin_upload(repository)
                await upload.append(one(blob))
                await upload.commit(Digest.of(blob))
            await store.put_manifest(repository, Manifest.parse_stored(hidden.manifest, MANIFEST_TYPE))
            manifest = Manifest.parse_stored(attack(seen, hidden).encode(), MANIFEST_TYPE)
            await store.put_manifest(repository, manifest, [Tag("1")])


async def one(blob: bytes) -> AsyncIterator[bytes]:
    yield blob


def test_an_engine_installs_what_is_hidden(engine: Engine, upstream: DockerRegistry) -> None:
    found = {name: installed(engine, f"{upstream.host}/upstream/{name}:1") for name in HIDDEN}
    assert found == HIDDEN


@pytest.mark.parametrize("name", UPSTREAM)
def test_none_is_pulled_through(engine: Engine, strict: Mirror, name: str) -> None:
    assert installed(engine, f"{strict.host}/pulled/{name}:1") is None


def test_none_is_mirrored(strict: Mirror) -> None:
    done = json.loads(strict.command("sync", "--json", check=False).stdout)
    results = {result["name"]: result for result in done["rules"][0]["tags"]}
    assert {name: result["outcome"] for name, result in results.items()} == dict.fromkeys(
        (f"mirrored/{name}" for name in UPSTREAM), "failed"
    )
    assert all("the manifest" in result["error"] for result in results.values()), results


@pytest.mark.parametrize("name", ATTACKS)
def test_none_is_taken_by_push(strict: Mirror, pair: tuple[PackedPlugin, PackedPlugin], name: str) -> None:
    seen, hidden = pair
    with pytest.raises(urllib.error.HTTPError) as refused:
        push(seen, strict.url, f"pushed/{name}", "1", manifest=ATTACKS[name](seen, hidden).encode())
    with refused.value as answer:
        (error,) = json.loads(answer.read())["errors"]
        assert (answer.code, error["code"]) == (400, "MANIFEST_INVALID")
    assert "the manifest " in error["message"]


@pytest.mark.parametrize("name", ATTACKS)
def test_none_is_given_out_that_is_held_already(engine: Engine, lenient: Mirror, name: str) -> None:
    assert installed(engine, f"{lenient.host}/held/{name}:1") is None


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_held_already_is_told(lenient: Mirror, name: str) -> None:
    inspected = json.loads(lenient.command("inspect", f"held/{name}:1", "--json").stdout)
    assert "manifest-ambiguous" in [finding["code"] for finding in inspected["findings"]]
    linted = lenient.command("lint", f"held/{name}:1", check=False)
    assert linted.exit_code != 0
    assert "the manifest" in linted.stdout + linted.stderr
