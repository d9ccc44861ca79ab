"""Signatures of requests to a bucket, and life-cycle rules."""

from datetime import UTC, datetime

import pytest

from mirror.store.bucket.bucket import BucketAccess
from mirror.store.bucket.lifecycle_rules import ends_left_parts, rules_request
from mirror.store.bucket.request_signing import RequestKey, signed_headers
from tests.harness.bucket_server import BucketServer

#: Keys and time of the test vectors that AWS publishes.
KEY = RequestKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
RULE = (
    "<LifecycleConfiguration><Rule><ID>parts</ID><Status>{status}</Status><Filter><Prefix>{prefix}</Prefix></Filter>"
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
    "</Rule></LifecycleConfiguration>"
)


@pytest.mark.parametrize(
    ("method", "target", "signature"),
    [
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case"],
)
def test_the_published_vectors(method: str, target: str, signature: str) -> None:
    url = f"https://example.amazonaws.com{target}"
    headers = signed_headers(method, url, KEY, region="us-east-1", at=AT, service="service")
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}"
    )


def test_a_session_token_is_signed() -> None:
    key = RequestKey(KEY.access_key_id, KEY.secret_key, "token")
    headers = signed_headers("GET", "https://s3.example/plugins?lifecycle=", key, region="us-east-1", at=AT)
    assert headers["x-amz-security-token"] == "token"
    assert "host;x-amz-content-sha256;x-amz-date;x-amz-security-token" in headers["Authorization"]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://s3.example:9000", "https://s3.example:9000/plugins?lifecycle="),
        ("", "https://s3.eu-central-1.amazonaws.com/plugins?lifecycle="),
    ],
)
def test_the_request_for_the_rules(endpoint: str, url: str) -> None:
    access = BucketAccess("plugins", "site", endpoint, "eu-central-1", "key", "secret")
    assert rules_request(access, AT)[0] == url


def test_a_real_server_accepts_the_signature(bucket_server: BucketServer) -> None:
    bucket_server.request("PUT", "/plugins/a/b%20c", b"content")
    assert bucket_server.request("GET", "/plugins/a/b%20c") == b"content"


@pytest.mark.parametrize(
    ("status", "prefix", "ends"),
    [
        ("Enabled", "", True),
        ("Enabled", "site/", True),
        ("Enabled", "other/", False),
        ("Disabled", "", False),
    ],
)
def test_a_rule_that_ends_left_parts(status: str, prefix: str, ends: bool) -> None:
    assert ends_left_parts(RULE.format(status=status, prefix=prefix), "site") is ends
    assert not ends_left_parts("", "site")
