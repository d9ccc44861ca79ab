"""A plugin's configuration, read out of a registry within a bound."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.oci import Digest, Repository
from mirror.oci.errors import ContentTooLarge
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.registry.port import Reader


@dataclass(frozen=True, slots=True)
class ConfigBlob:
    """The blob of a configuration.

    Attributes:
        size_bytes: of the blob, whatever a manifest says.
        content: its bytes; None where there are more than :data:`mirror.plugin.config.plugin_config.MAX_CONFIG_BYTES`.
    """

    size_bytes: int
    content: bytes | None

    def require(self) -> bytes:
        """Return the bytes.

        Raises:
            ContentTooLarge: there are more than are read.
        """
        if self.content is None:
            raise ContentTooLarge(f"plugin config of {self.size_bytes} bytes: at most {MAX_CONFIG_BYTES} are read")
        return self.content


async def read_plugin_config(reader: Reader, repository: Repository, digest: Digest) -> ConfigBlob:
    """Read the configuration of a plugin.

    Args:
        reader, repository: where the plugin is.
        digest: of the configuration.

    Raises:
        BlobUnknown: the repository does not hold it. And what the registry raises while it is read.
    """
    async with reader.open_blob(repository, digest) as blob:
        content = b"".join([chunk async for chunk in blob]) if blob.size_bytes <= MAX_CONFIG_BYTES else None
        return ConfigBlob(blob.size_bytes, content)
