"""Header names of the distribution API, interned for the response writer, and those on every answer."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs
from multidict import istr

ACCEPT: Final = hdrs.ACCEPT
ACCEPT_RANGES: Final = hdrs.ACCEPT_RANGES
AGE: Final = hdrs.AGE
ALLOW: Final = hdrs.ALLOW
AUTHORIZATION: Final = hdrs.AUTHORIZATION
CACHE_CONTROL: Final = hdrs.CACHE_CONTROL
CONTENT_LENGTH: Final = hdrs.CONTENT_LENGTH
CONTENT_RANGE: Final = hdrs.CONTENT_RANGE
CONTENT_TYPE: Final = hdrs.CONTENT_TYPE
EXPECT: Final = hdrs.EXPECT
HOST: Final = hdrs.HOST
IF_RANGE: Final = hdrs.IF_RANGE
LINK: Final = hdrs.LINK
LOCATION: Final = hdrs.LOCATION
ORIGIN: Final = hdrs.ORIGIN
RANGE: Final = hdrs.RANGE
RETRY_AFTER: Final = hdrs.RETRY_AFTER
USER_AGENT: Final = hdrs.USER_AGENT
VARY: Final = hdrs.VARY
WARNING: Final = hdrs.WARNING
WWW_AUTHENTICATE: Final = hdrs.WWW_AUTHENTICATE
X_FORWARDED_FOR: Final = hdrs.X_FORWARDED_FOR
X_FORWARDED_PROTO: Final = hdrs.X_FORWARDED_PROTO
API_VERSION: Final = istr("Docker-Distribution-Api-Version")
CONTENT_DIGEST: Final = istr("Docker-Content-Digest")
UPLOAD_UUID: Final = istr("Docker-Upload-UUID")
OCI_FILTERS_APPLIED: Final = istr("OCI-Filters-Applied")
OCI_NAMESPACE: Final = istr("OCI-Namespace")
OCI_SUBJECT: Final = istr("OCI-Subject")
OCI_TAG: Final = istr("OCI-Tag")

#: Engines up to 19.03 take a server for a registry by this one, on any answer.
API_VERSION_VALUE: Final = "registry/2.0"
#: Answers that are not the same for all clients depend on these.
VARY_VALUE: Final = "User-Agent, Accept"
