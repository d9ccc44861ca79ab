"""The bucket of the settings. Imported with a bucket only, because obstore is large."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mirror.oci.errors import ConfigurationFault
from mirror.runtime.error_advice import file_words
from mirror.store.bucket.bucket import Bucket, BucketAccess

if TYPE_CHECKING:
    from pathlib import Path

    from mirror.settings.storage.blob_settings import BlobSettings

_DEFAULT_REGION = "us-east-1"


def open_bucket(settings: BlobSettings) -> Bucket:
    """Return the bucket, without a request to it.

    Raises:
        ConfigurationFault: the file with the secret key cannot be read.
    """
    key_id, secret, token = settings.access_key_id or "", "", ""
    if settings.secret_key_file is not None:
        secret = _first_line(settings.secret_key_file)
    elif key_id := os.environ.get("AWS_ACCESS_KEY_ID", ""):
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        token = os.environ.get("AWS_SESSION_TOKEN", "")
    return Bucket(
        BucketAccess(
            settings.bucket,
            settings.prefix,
            settings.endpoint or os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/"),
            settings.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _DEFAULT_REGION,
            key_id,
            secret,
            token,
        )
    )


def _first_line(file: Path) -> str:
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault(
            f"{file}: cannot read the secret key of the bucket: {file_words(error)}; fix: correct "
            "storage.blobs.secret_key_file"
        ) from error
    if not lines or not lines[0].strip():
        raise ConfigurationFault(f"{file} has no secret key in its first line; fix: write the key there")
    return lines[0].strip()
