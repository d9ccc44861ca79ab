"""Choice of the content that a copy takes from a graph of manifests. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mirror.oci import Descriptor, Digest
from mirror.oci.platform_selection import ImagePlatform, PlatformSelection

#: Largest number of referrers of one manifest that are copied, unless the rule says otherwise.
MOST_REFERRERS: Final = 1000


class ForeignLayers(StrEnum):
    """Treatment of layers that may be stored elsewhere."""

    #: Take them if the upstream has them.
    UPSTREAM = "upstream"
    #: Take them from their URLs if the upstream does not have them.
    URLS = "urls"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class ContentChoice:
    """Choice of the content that a copy takes.

    Attributes:
        platforms: selection of the members of indexes. None to take all.
        foreign_layers: treatment of foreign layers.
        foreign_hosts: hosts from which layers may be taken by their URLs, as ``HOST[:PORT]``, or as
            ``http://HOST[:PORT]`` for a host without encryption.
    """

    platforms: PlatformSelection | None = None
    foreign_layers: ForeignLayers = ForeignLayers.UPSTREAM
    foreign_hosts: tuple[str, ...] = ()

    @property
    def foreign_setting(self) -> str:
        """Text of the settings about foreign layers. It is recorded with each layer that they leave out."""
        hosts = f" of {', '.join(self.foreign_hosts)}" if self.foreign_layers is ForeignLayers.URLS else ""
        return f"{self.foreign_layers}{hosts}"

    def left_out(self, members: Iterable[Descriptor]) -> dict[Digest, ImagePlatform]:
        """Return the members of an index that the choice leaves out, with their platforms."""
        return {} if self.platforms is None else self.platforms.left_out(members)


#: The choice of copies that have no setting: everything that the source has.
EVERYTHING = ContentChoice()
