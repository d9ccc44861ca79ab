"""Names, stream and serial of a bundle that comes from other registries, without a store that counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from mirror.bundle.delta.receipt import Receipt
from mirror.bundle.export.export_request import ExportSource
from mirror.bundle.format.statement import NameOrigin
from mirror.oci import Reference, Repository
from mirror.oci.errors import ConfigurationFault
from mirror.oci.name_mapping import NameMapping
from mirror.registry.port import ReadLister
from mirror.wire.registry_url import DOCKER_HUB_HOSTS, registry_host

_UNSIGNED_STREAM: Final = "unsigned"
_KEY_CHARACTERS: Final = 12
#: Docker Hub, as references name it.
_HUB: Final = "docker.io"


def default_stream(key_id: str | None) -> str:
    """Return the stream of the bundles of a key. All bundles of a key are in one stream.

    Args:
        key_id: fingerprint of the key; None for unsigned bundles.
    """
    return _UNSIGNED_STREAM if key_id is None else f"key-{key_id[:_KEY_CHARACTERS]}"


def next_serial(now: datetime, receipt: Receipt | None, stream: str) -> int:
    """Return the serial of a new bundle: the seconds since 1970.

    The receiver refuses two bundles with one serial. So the serial is not taken from the receipt, against which several
    bundles may be made. It is later than that of the receipt also if a clock was wrong.

    Args:
        now: time of creation.
        receipt: receipt of the receiver; None for a full bundle.
        stream: stream of the bundle.
    """
    received = None if receipt is None else receipt.serial_of(stream)
    return max(int(now.timestamp()), (received or 0) + 1)


def fetch_sources(
    references: Sequence[Reference],
    registries: Mapping[str, ReadLister],
    mappings: Sequence[NameMapping],
    now: datetime,
) -> tuple[ExportSource, ...]:
    """Return the content to export.

    Args:
        references: the content.
        registries: registries by host, see :func:`mirror.wire.registry_url.registry_host`.
        mappings: mappings of names at the registries to names in the bundle. The first that covers a name changes it.
        now: time of the fetch.

    Raises:
        ConfigurationFault: two references become one name, or a mapping covers no name.
        NameInvalid: a name would be too long.
    """
    found: dict[str, tuple[Reference, ExportSource]] = {}
    unused = dict.fromkeys(mappings)
    for reference in dict.fromkeys(references):
        mapping = next((each for each in mappings if each.covers(reference.repository)), None)
        if mapping is not None:
            unused.pop(mapping, None)
        host = registry_host(reference)
        name: Repository = (mapping and mapping.apply(reference.repository)) or reference.repository
        source = ExportSource(
            registries[host],
            reference.repository,
            reference.target,
            name,
            reference.tag,
            NameOrigin(f"{_HUB if host == DOCKER_HUB_HOSTS[0] else host}/{reference.repository}", now),
        )
        other, _ = found.setdefault(str(source), (reference, source))
        if other != reference:
            raise ConfigurationFault(
                f"{other} and {reference} would both become {source} in the bundle; fix: give one of them another name "
                f"with --map {reference.repository}=OTHER/NAME"
            )
    if mapping := next(iter(unused), None):
        raise ConfigurationFault(
            f"--map {mapping.source}={mapping.target}: no name matches {mapping.source}; "
            "fix: write the names without their host"
        )
    return tuple(source for _, source in found.values())
