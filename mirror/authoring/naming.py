"""Notes about plugins whose own variable does not have the name that they get."""

from __future__ import annotations

from mirror.oci import Manifest, Repository, Tag
from mirror.oci.errors import ManifestInvalid
from mirror.plugin.config.own_name import local_name
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.plugin.lint.name_checks import naming_note
from mirror.registry.config_reading import read_plugin_config
from mirror.registry.port import Reader
from mirror.runtime.concurrency.threads import in_thread


async def notes_on_name(reader: Reader, repository: Repository, manifest: Manifest, tag: Tag) -> tuple[str, ...]:
    """Return the note about a plugin under a new name. Empty if there is none, or the content is no plugin.

    Args:
        reader: registry of the plugin.
        repository: repository of the plugin.
        manifest: manifest of the plugin.
        tag: tag of the plugin.

    Raises:
        BlobUnknown: the repository does not hold the config.
    """
    if manifest.config is None or not manifest.is_plugin:
        return ()
    blob = await read_plugin_config(reader, repository, manifest.config.digest, manifest.config.size_bytes)
    if blob.content is None:
        return ()
    return await in_thread(config_notes, blob.content, local_name(repository.name, tag.name))


def config_notes(content: bytes, name: str, *, created: bool = False) -> tuple[str, ...]:
    """Return the note about a plugin with this config, as :func:`mirror.plugin.lint.name_checks.naming_note` does."""
    try:
        note = naming_note(PluginConfig.parse(content), name, created=created)
    except ManifestInvalid:
        return ()  # lint reports a config that cannot be read
    return () if note is None else (note,)
