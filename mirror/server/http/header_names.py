"""Header names missing in aiohttp, interned for its response writer, and constant header values."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs
from multidict import istr

API_VERSION: Final = istr("Docker-Distribution-Api-Version")
ETAG: Final = istr("ETag")  # aiohttp writes "Etag"
CONTENT_DIGEST: Final = istr("Docker-Content-Digest")
UPLOAD_UUID: Final = istr("Docker-Upload-UUID")
OCI_FILTERS_APPLIED: Final = istr("OCI-Filters-Applied")
OCI_NAMESPACE: Final = istr("OCI-Namespace")
OCI_SUBJECT: Final = istr("OCI-Subject")
OCI_TAG: Final = istr("OCI-Tag")
X_FORWARDED_PREFIX: Final = istr("X-Forwarded-Prefix")

#: Engines up to 19.03 recognise a registry by this value, on any answer.
API_VERSION_VALUE: Final = "registry/2.0"
#: Headers of all answers of the distribution API with a JSON body, including errors.
JSON_HEADERS: Final = {API_VERSION: API_VERSION_VALUE, hdrs.CONTENT_TYPE: "application/json"}
#: Request headers that decide about answers which differ between clients.
VARY_VALUE: Final = "User-Agent, Accept"
