"""Work that needs all content in the data folder, and so cannot be done with a bucket."""

from __future__ import annotations

from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings


def require_data_folder_only(settings: Settings, need: str, fix: str) -> None:
    """Check that no bucket holds the content. Raises ConfigurationFault.

    Args:
        settings: the settings.
        need: a sentence about the work, for the error message.
        fix: what to do.
    """
    if settings.storage.blobs is not None:
        raise ConfigurationFault(f"{need}, and storage.blobs has the content in a bucket; fix: {fix}")
