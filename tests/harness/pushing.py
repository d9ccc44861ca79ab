"""Push a packed plugin to any registry over plain HTTP, without a client program."""

import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPMessage

from tests.harness.packing import MANIFEST_TYPE, PackedPlugin, digest_of

# Proxies from the environment are ignored, since all servers are on loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def push(packed: PackedPlugin, base_url: str, repository: str, tag: str, *, manifest: bytes | None = None) -> str:
    """Push `packed` and return the digest of its manifest. Blobs that the repository already holds are not sent.

    Args:
        packed: Plugin to push.
        base_url: Base URL of the registry, `http://127.0.0.1:PORT`.
        repository: Name of the repository.
        tag: Tag of the manifest.
        manifest: Manifest to push instead of the packed one, such as `legacy_manifest(packed)`.

    Raises:
        urllib.error.HTTPError: If the registry refuses a request.
        OSError: If the registry cannot be reached.
    """
    content = packed.manifest if manifest is None else manifest
    root = f"{base_url.rstrip('/')}/v2/{repository}"
    for blob in (packed.config, packed.layer):
        push_blob(root, blob)
    send("PUT", f"{root}/manifests/{tag}", content, MANIFEST_TYPE)
    return digest_of(content)


def push_blob(root: str, blob: bytes) -> None:
    """Push a blob unless the repository already holds the blob. Raises the same errors as `push`.

    Args:
        root: URL of the repository, `http://127.0.0.1:PORT/v2/NAME`.
        blob: Content of the blob.
    """
    digest = digest_of(blob)
    try:
        send("HEAD", f"{root}/blobs/{digest}")
        return
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 404:
            raise
    upload = f"{root}/blobs/uploads/"
    location = urllib.parse.urljoin(upload, send("POST", upload, b"")["Location"])
    separator = "&" if urllib.parse.urlsplit(location).query else "?"
    query = urllib.parse.urlencode({"digest": digest})
    send("PUT", f"{location}{separator}{query}", blob, "application/octet-stream")


def send(method: str, url: str, body: bytes | None = None, media_type: str = "application/octet-stream") -> HTTPMessage:
    """Send a request, read the whole response and return its headers. Raises the same errors as `push`."""
    headers = {} if body is None else {"Content-Type": media_type}
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    with _direct.open(request, timeout=120) as response:
        answered: HTTPMessage = response.headers
        return answered
