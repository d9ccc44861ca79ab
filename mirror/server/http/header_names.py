"""Header names that HTTP itself does not know, interned for the response writer, and values of headers."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs
from multidict import istr

API_VERSION: Final = istr("Docker-Distribution-Api-Version")
CONTENT_DIGEST: Final = istr("Docker-Content-Digest")
UPLOAD_UUID: Final = istr("Docker-Upload-UUID")
OCI_FILTERS_APPLIED: Final = istr("OCI-Filters-Applied")
OCI_NAMESPACE: Final = istr("OCI-Namespace")
OCI_SUBJECT: Final = istr("OCI-Subject")
OCI_TAG: Final = istr("OCI-Tag")

#: Engines up to 19.03 take a server for a registry by this one, on any answer.
API_VERSION_VALUE: Final = "registry/2.0"
#: Headers of answers of the distribution API, the refusals included, whose body is JSON.
JSON_HEADERS: Final = {API_VERSION: API_VERSION_VALUE, hdrs.CONTENT_TYPE: "application/json"}
#: Answers that are not the same for all clients depend on these.
VARY_VALUE: Final = "User-Agent, Accept"
