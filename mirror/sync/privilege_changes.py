"""Comparison of the privileges that a plugin asks of a host before and after it has moved."""

from __future__ import annotations

from mirror.oci.digest import Digest
from mirror.oci.errors import MirrorError
from mirror.oci.names import Repository
from mirror.plugin.config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.difference import PrivilegeDifference
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.port import Reader
from mirror.runtime.threads import in_thread


async def privilege_changes(
    earlier: tuple[Reader, Repository, Digest], later: tuple[Reader, Repository, Digest]
) -> tuple[str, ...]:
    """Compare privileges: one line for each difference, none where one of the two is no plugin, or cannot be read.

    Args:
        earlier, later: a registry, and the repository and digest of a manifest in it.
    """
    try:
        before, after = await _config(*earlier), await _config(*later)
    except MirrorError as error:
        return (f"the privileges could not be compared: {error}",)
    return () if before is None or after is None else await in_thread(_lines, before, after)


def _lines(before: PluginConfig, after: PluginConfig) -> tuple[str, ...]:
    return PrivilegeDifference.between(before, after).lines()


async def _config(reader: Reader, repository: Repository, digest: Digest) -> PluginConfig | None:
    manifest = await reader.get_manifest(repository, digest)
    config = manifest.config
    if config is None or not manifest.is_plugin or config.size_bytes > MAX_CONFIG_BYTES:
        return None
    blob = await read_plugin_config(reader, repository, config.digest)
    if blob.size_bytes != config.size_bytes:
        return None
    return await in_thread(PluginConfig.parse, blob.require())
