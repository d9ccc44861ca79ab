"""Bounded reading of plugin configs from a registry."""

from __future__ import annotations

from dataclasses import dataclass

from mirror.oci import Digest, Repository
from mirror.oci.errors import ContentTooLarge
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES
from mirror.registry.port import Reader


@dataclass(frozen=True, slots=True)
class ConfigBlob:
    """The blob holding a plugin's config.

    Attributes:
        size_bytes: size of the blob itself, which may differ from the size in a manifest.
        content: the bytes; None if there are more than :data:`mirror.plugin.config.plugin_config.MAX_CONFIG_BYTES`.
    """

    size_bytes: int
    content: bytes | None

    def require(self) -> bytes:
        """Return the bytes.

        Raises:
            ContentTooLarge: the config is larger than ``MAX_CONFIG_BYTES`` and was not read.
        """
        if self.content is None:
            raise ContentTooLarge(f"plugin config has {self.size_bytes} bytes; at most {MAX_CONFIG_BYTES} are read")
        return self.content


async def read_plugin_config(
    reader: Reader, repository: Repository, digest: Digest, size_bytes: int | None = None
) -> ConfigBlob:
    """Read the config of a plugin.

    Args:
        reader: the registry holding the plugin.
        repository: the plugin's repository.
        digest: digest of the config.
        size_bytes: size of the config according to the manifest; None if the caller does not know it.

    Raises:
        BlobUnknown: the repository does not hold the config.
        MirrorError: any other error of the registry while the blob is read.
    """
    async with reader.open_blob(repository, digest, None, size_bytes) as blob:
        # The size is checked before the read, so that a hostile config never occupies memory.
        content = b"".join([chunk async for chunk in blob]) if blob.size_bytes <= MAX_CONFIG_BYTES else None
        return ConfigBlob(blob.size_bytes, content)
