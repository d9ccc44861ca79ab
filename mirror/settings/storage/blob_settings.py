"""The section ``storage.blobs``: a bucket that holds the blobs, with the data folder as its cache."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, ByteSize, Field, model_validator

from mirror.settings.section import Section
from mirror.settings.section_values import MOST_BYTES, FilePath, TextForm

_BUCKET_URL: Final = TextForm(
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)*/?$",
    "is no place in a bucket; fix: write it like s3://BUCKET/PREFIX, with letters, digits and . _ = - in the prefix",
)


def _check_endpoint(text: str) -> str:
    from yarl import URL

    try:
        url = URL(text)
        is_server = url.scheme in {"http", "https"} and bool(url.host) and url.path in {"", "/"}
    except ValueError:
        is_server = False
    if not is_server or url.user is not None or url.query_string or url.fragment:
        raise ValueError("is no URL of a server; fix: write it like https://s3.example:9000, without path and login")
    return text.rstrip("/")


class BlobSettings(Section):
    """Settings of the bucket that holds the blobs."""

    url: Annotated[str, _BUCKET_URL] = Field(description="bucket and beginning of all keys, as s3://BUCKET/PREFIX")
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] | None = Field(
        None, description="URL of the server; omitted: AWS_ENDPOINT_URL, or else AWS"
    )
    region: str | None = Field(
        None, min_length=1, description="region of the bucket; omitted: AWS_REGION, or else us-east-1"
    )
    access_key_id: str | None = Field(
        None,
        min_length=1,
        description="public name of the key; requires secret_key_file. Omitted: AWS_ACCESS_KEY_ID with "
        "AWS_SECRET_ACCESS_KEY, or else the credentials of the machine",
    )
    secret_key_file: FilePath | None = Field(None, description="file whose first line is the secret key")
    cache: ByteSize | None = Field(
        None,
        ge=1024 * 1024,
        le=MOST_BYTES,
        description="size of the cache in the data folder, such as 200GiB. Beyond it, files that were read least "
        "recently give way. Omitted: all that least_free_bytes leaves",
    )

    @model_validator(mode="after")
    def _has_a_whole_key(self) -> Self:
        if (self.access_key_id is None) != (self.secret_key_file is None):
            raise ValueError("a key is not complete; fix: give both access_key_id and secret_key_file, or neither")
        return self

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """Beginning of all keys, without slashes at its ends."""
        return self.url.removeprefix("s3://").partition("/")[2].strip("/")
