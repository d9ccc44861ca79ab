"""Life-cycle rules of a bucket, which end what a killed process has left of an object in parts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from mirror.store.bucket.bucket import BucketAccess
from mirror.store.bucket.request_signing import RequestKey, signed_headers

_RULE: Final = re.compile(r"<Rule>(.*?)</Rule>", re.DOTALL)
_PREFIX: Final = re.compile(r"<Prefix>([^<]*)</Prefix>")


def rules_request(access: BucketAccess, at: datetime) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers of a GET that answers with the rules of a bucket. Pure.

    Args:
        access: the bucket, with the credentials.
        at: present time.
    """
    endpoint = access.endpoint or f"https://s3.{access.region}.amazonaws.com"
    url = f"{endpoint}/{access.name}?lifecycle="
    key = RequestKey(access.access_key_id, access.secret_key, access.session_token)
    return url, signed_headers("GET", url, key, region=access.region, at=at)


def ends_left_parts(rules: str, prefix: str) -> bool:
    """Return True if a rule removes the parts of objects that were never completed. Pure.

    Args:
        rules: the rules in XML; empty for none.
        prefix: beginning of the keys that the rule must be about.
    """
    for rule in _RULE.findall(rules):
        found = _PREFIX.search(rule)
        is_about_all = found is None or f"{prefix}/".startswith(found[1])
        if "<Status>Enabled</Status>" in rule and "<AbortIncompleteMultipartUpload>" in rule and is_about_all:
            return True
    return False
