"""URLs of an upstream, and the foreign URLs to which its answers may refer."""

from __future__ import annotations

from yarl import URL

from mirror.oci.errors import ConfigurationFault, UpstreamProtocolError
from mirror.upstream.http.forbidden_destinations import DestinationGuard, kind_of
from mirror.upstream.http.upstream_errors import redacted


class UpstreamUrls:
    """The addresses of one upstream.

    Args:
        name: name in the configuration, for errors.
        url: ``https://HOST[:PORT]``, without a path.
        plain_http: True to allow ``http://``.

    Attributes:
        base: origin of the upstream.
        guard: forbidden destinations. An upstream that is configured with a special address, such as a loopback
            address, may refer to other addresses of the same kind.

    Raises:
        ConfigurationFault: the URL is invalid, or is ``http://`` without ``plain_http``.
    """

    def __init__(self, name: str, url: str, *, plain_http: bool) -> None:
        self._name = name
        self.base = _base_url(name, url, plain_http=plain_http)
        own_kind = kind_of(self.base.host or "")
        self.guard = DestinationGuard({own_kind} if own_kind else ())

    def absolute(self, url: str) -> URL:
        """Return the absolute URL of a path with a query, or of a URL. The text is not re-encoded."""
        # Signed URLs and upload locations are valid only exactly as the upstream wrote them.
        parsed = URL(url, encoded=True)
        return parsed if parsed.absolute else self.base.join(parsed)

    def relative(self, url: str, location: str) -> str:
        """Resolve ``Location`` in the answer to a request for ``url``.

        Returns:
            Path and query, or the absolute URL if the location has another origin.

        Raises:
            UpstreamProtocolError: as :meth:`follow`.
        """
        target = self.follow(self.absolute(url), location)
        # A path that begins with ``//`` would later be read as a host.
        own = target.origin() == self.base and not target.raw_path.startswith("//")
        return target.raw_path_qs if own else str(target)

    def follow(self, url: URL, location: str) -> URL:
        """Resolve ``location`` from an answer to ``url``. A user in the location is dropped.

        Raises:
            UpstreamProtocolError: the URL is not an HTTP URL, is unencrypted although the upstream is encrypted, or
                contains a forbidden address. The addresses behind a name are checked when a connection is made.
        """
        try:
            target = url.join(URL(location, encoded=True)).with_user(None).with_fragment(None)
            usable = target.scheme in {"http", "https"} and bool(target.host)
        except (ValueError, IndexError):  # yarl 1.25 raises IndexError for some hosts with brackets
            usable = False
        sent = f"upstream {self._name}: {redacted(url)}: it refers to"
        if not usable:
            raise UpstreamProtocolError(f"{sent} {location[:200]!r}, which is not a valid URL", upstream=self._name)
        if target.scheme == "http" and self.base.scheme == "https":
            raise UpstreamProtocolError(
                f"{sent} {redacted(target)}, which is not encrypted: not followed", upstream=self._name
            )
        # The operator chose the upstream's own address, so only other addresses are checked.
        forbidden = None if target.origin() == self.base else self.guard.refusal(target.host or "")
        if forbidden is not None:
            raise UpstreamProtocolError(f"{sent} {redacted(target)}, {forbidden}: not followed", upstream=self._name)
        return target


def _base_url(name: str, url: str, *, plain_http: bool) -> URL:
    try:
        base = URL(url)
        root = bool(base.host) and base.raw_path in {"", "/"} and not base.raw_query_string and base.user is None
    except ValueError:
        root = False
    if not root or base.scheme not in {"https", "http"}:
        raise ConfigurationFault(
            f"upstreams.{name}.url is {url!r}, not a registry's URL; fix: write https://HOST or https://HOST:PORT"
        )
    if base.scheme == "http" and not plain_http:
        raise ConfigurationFault(
            f"upstreams.{name}.url is not encrypted; fix: write https://{url.partition('://')[2]}, "
            f"or set upstreams.{name}.plain_http: true if this is intended"
        )
    return base.origin()
