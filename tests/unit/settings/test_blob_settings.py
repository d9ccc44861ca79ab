"""The section ``storage.blobs``, and the bucket that it names."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mirror.app.bucket.bucket_opening import open_bucket
from mirror.oci.errors import ConfigurationFault
from mirror.settings.storage.blob_settings import BlobSettings

URL = "s3://plugins/site/one"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "DEFAULT_REGION", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [(URL, "plugins", "site/one"), ("s3://plugins", "plugins", ""), ("s3://plugins/a/", "plugins", "a")],
)
def test_a_place_in_a_bucket(url: str, bucket: str, prefix: str) -> None:
    section = BlobSettings(url=url)
    assert (section.bucket, section.prefix) == (bucket, prefix)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"url": "https://plugins"}, "is no place in a bucket; fix: "),
        ({"url": "s3://Plugins"}, "is no place in a bucket; fix: "),
        ({"url": "s3://plugins/a b"}, "is no place in a bucket; fix: "),
        ({"url": URL, "endpoint": "s3.example"}, "is no URL of a server; fix: "),
        ({"url": URL, "endpoint": "https://key:secret@s3.example"}, "is no URL of a server; fix: "),
        ({"url": URL, "endpoint": "https://s3.example/plugins"}, "is no URL of a server; fix: "),
        ({"url": URL, "access_key_id": "key"}, "a key is not complete; fix: "),
    ],
)
def test_what_is_wrong(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        BlobSettings(**values)


def test_a_key_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("secret\n")
    section = BlobSettings(url=URL, endpoint="https://s3.example/", access_key_id="key", secret_key_file=file)
    access = open_bucket(section).access
    assert access.url == URL
    assert (access.endpoint, access.region) == ("https://s3.example", "us-east-1")
    assert (access.access_key_id, access.secret_key) == ("key", "secret")


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    access = open_bucket(BlobSettings(url=URL)).access
    assert (access.access_key_id, access.secret_key, access.session_token) == ("key", "secret", "token")
    assert (access.region, access.endpoint) == ("eu-central-1", "http://127.0.0.1:9000")


@pytest.mark.parametrize(("content", "told"), [(None, "cannot read the secret key"), ("\n", "has no secret key")])
def test_a_file_without_a_key(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationFault, match=f"{told}.*; fix: "):
        open_bucket(BlobSettings(url=URL, access_key_id="key", secret_key_file=file))
