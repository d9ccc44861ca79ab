"""Comparison of the privileges of two plugins, each in its registry."""

from __future__ import annotations

from mirror.oci import Digest, Repository
from mirror.oci.errors import MirrorError
from mirror.plugin.config.plugin_config import MAX_CONFIG_BYTES, PluginConfig
from mirror.plugin.policy.privilege_difference import PrivilegeDifference
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.port import Reader
from mirror.runtime.concurrency.threads import in_thread


async def privilege_changes(
    earlier: tuple[Reader, Repository, Digest], later: tuple[Reader, Repository, Digest]
) -> tuple[str, ...]:
    """Compare the privileges of two plugins.

    Args:
        earlier: registry, repository and digest of the earlier manifest.
        later: registry, repository and digest of the later manifest.

    Returns:
        One line for each difference. Empty if one of the two manifests is no plugin. A single line with the error if a
        manifest or config cannot be read.
    """
    try:
        before, after = await read_config_of(*earlier), await read_config_of(*later)
    except MirrorError as error:
        return (f"the privileges could not be compared: {error}",)
    return () if before is None or after is None else await in_thread(_lines, before, after)


def _lines(before: PluginConfig, after: PluginConfig) -> tuple[str, ...]:
    return PrivilegeDifference.between(before, after).lines()


async def read_config_of(reader: Reader, repository: Repository, digest: Digest) -> PluginConfig | None:
    """Read the config of the plugin with this manifest.

    Returns:
        The config; None if the manifest is no plugin, or its config is too large or has another size than stated.

    Raises:
        MirrorError: the manifest or the config cannot be read.
    """
    manifest = await reader.get_manifest(repository, digest)
    config = manifest.config
    if config is None or not manifest.is_plugin or config.size_bytes > MAX_CONFIG_BYTES:
        return None
    blob = await read_plugin_config(reader, repository, config.digest, config.size_bytes)
    if blob.size_bytes != config.size_bytes:
        return None
    return await in_thread(PluginConfig.parse, blob.require())
