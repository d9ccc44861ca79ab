"""Warning about a bucket that keeps the parts of interrupted writes for ever."""

from __future__ import annotations

from typing import Final

import aiohttp
import structlog

from mirror.runtime.clock import SystemClock
from mirror.store.bucket.bucket import BucketAccess
from mirror.store.bucket.lifecycle_rules import ends_left_parts, rules_request

_LOG = structlog.get_logger(__name__)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
_MOST_BYTES: Final = 1024 * 1024
_FIX: Final = "add a life-cycle rule with AbortIncompleteMultipartUpload after 1 day to the bucket (docs/STORAGE.md)"


async def warn_about_left_parts(access: BucketAccess) -> None:
    """Look for the rule, and log a warning without it. A bucket that tells no rules is left alone."""
    if not access.access_key_id:
        return  # credentials of the machine, which only obstore knows
    url, headers = rules_request(access, SystemClock().now())
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            rules = (await answer.content.read(_MOST_BYTES)).decode(errors="replace")
    except (TimeoutError, OSError, aiohttp.ClientError):
        return  # the first write tells what is wrong
    has_none = answer.status == 404 and "NoSuchLifecycleConfiguration" in rules
    if has_none or (answer.status == 200 and not ends_left_parts(rules, access.prefix)):
        _LOG.warning("the bucket keeps parts of writes that were interrupted", bucket=access.url, fix=_FIX)
