"""Names, stream and serial of a bundle that comes from other registries."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.export.fetch_sources import default_stream, fetch_sources, next_serial
from mirror.bundle.format.statement import is_stream
from mirror.oci import Digest, Reference
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_mapping import NameMapping
from mirror.registry.memory import MemoryRegistry
from mirror.wire.registry_url import registry_host

NOW = datetime(2026, 11, 29, 8, 0, 0, tzinfo=UTC)
REGISTRIES = {"registry-1.docker.io": MemoryRegistry(), "ghcr.io": MemoryRegistry(), "mirror:5000": MemoryRegistry()}
DIGEST = Digest.of(b"manifest")


@pytest.mark.parametrize(
    ("text", "name", "origin"),
    [
        ("vieux/sshfs", "vieux/sshfs:latest", "docker.io/vieux/sshfs"),
        ("ghcr.io/acme/driver:2.1", "acme/driver:2.1", "ghcr.io/acme/driver"),
        (f"vieux/sshfs@{DIGEST}", f"vieux/sshfs@{DIGEST}", "docker.io/vieux/sshfs"),
        (f"vieux/sshfs:1@{DIGEST}", "vieux/sshfs:1", "docker.io/vieux/sshfs"),
        ("store/contiv/v2plugin:1.0", "contiv/v2plugin:1.0", "docker.io/store/contiv/v2plugin"),
    ],
)
def test_names_in_the_bundle_have_no_host(text: str, name: str, origin: str):
    reference = Reference.parse(text)
    mappings = [NameMapping("store/*/*", "*/*")] if text.startswith("store") else []
    (source,) = fetch_sources([reference, reference], REGISTRIES, mappings, NOW)
    assert str(source) == name
    assert source.registry is REGISTRIES[registry_host(reference)]
    assert (source.repository, source.target) == (reference.repository, reference.target)
    assert source.origin is not None
    assert (source.origin.source, source.origin.brought_at) == (origin, NOW)


def test_two_references_do_not_become_one_name():
    texts = ["acme/driver:1", "ghcr.io/acme/driver:1"]
    with pytest.raises(
        ConfigurationFault, match=r"would both become acme/driver:1 .*; fix: .* --map acme/driver=OTHER"
    ):
        fetch_sources([Reference.parse(text) for text in texts], REGISTRIES, [], NOW)


def test_a_mapping_that_covers_no_name_is_refused():
    mappings = [NameMapping("store/*/*", "*/*")]
    with pytest.raises(ConfigurationFault, match=r"no name matches store/\*/\*"):
        fetch_sources([Reference.parse("acme/driver")], REGISTRIES, mappings, NOW)


def test_the_stream_belongs_to_the_key():
    assert default_stream("0123456789abcdef" * 4) == "key-0123456789ab"
    assert default_stream(None) == "unsigned"
    assert is_stream(default_stream("f" * 64))


@pytest.mark.parametrize(
    ("streams", "serial"),
    [
        (None, int(NOW.timestamp())),
        ({}, int(NOW.timestamp())),
        ({"other": 2**40}, int(NOW.timestamp())),
        ({"s": 7}, int(NOW.timestamp())),
        ({"s": 2**40}, 2**40 + 1),
    ],
)
def test_serials_are_seconds_and_later_than_that_of_the_receipt(streams: dict[str, int] | None, serial: int):
    receipt = None if streams is None else Receipt(NOW, frozenset(), {}, streams)
    assert next_serial(NOW, receipt, "s") == serial
