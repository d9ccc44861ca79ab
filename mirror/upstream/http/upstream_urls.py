"""URLs of an upstream, and those that it may send us to."""

from __future__ import annotations

from yarl import URL

from mirror.oci.errors import ConfigurationFault, UpstreamProtocolError
from mirror.upstream.http.forbidden_destinations import DestinationGuard, kind_of
from mirror.upstream.http.upstream_errors import redacted


class UpstreamUrls:
    """The addresses of one upstream.

    Args:
        name: its name in the configuration, for errors.
        url: ``https://HOST[:PORT]``, without a path.
        plain_http: whether ``http://`` is meant.

    Attributes:
        base: the upstream's own origin.
        guard: where it may not send us. Where it is configured at a loopback address itself, it may send us to others.

    Raises:
        ConfigurationFault: the URL cannot be used, or is ``http://`` without ``plain_http``.
    """

    def __init__(self, name: str, url: str, *, plain_http: bool) -> None:
        self._name = name
        self.base = _base_url(name, url, plain_http=plain_http)
        own_kind = kind_of(self.base.host or "")
        self.guard = DestinationGuard({own_kind} if own_kind else ())

    def absolute(self, url: str) -> URL:
        """Path and query, or a whole URL, as the whole URL. It is taken as it is, percent signs and all."""
        parsed = URL(url, encoded=True)
        return parsed if parsed.absolute else self.base.join(parsed)

    def relative(self, url: str, location: str) -> str:
        """Resolve ``Location`` in the answer to a request for ``url``.

        Returns:
            Path and query where it stays with the upstream's origin, else the whole URL.

        Raises:
            UpstreamProtocolError: as :meth:`follow`.
        """
        target = self.follow(self.absolute(url), location)
        own = target.origin() == self.base and not target.raw_path.startswith("//")  # which would read as a host
        return target.raw_path_qs if own else str(target)

    def follow(self, url: URL, location: str) -> URL:
        """Resolve ``location``, found in an answer of ``url``; a user in it is left out.

        Raises:
            UpstreamProtocolError: the URL is none of HTTP, is not encrypted where the upstream is, or names an address
                that no upstream may send us to. The addresses of a name are judged when it is connected to.
        """
        try:
            target = url.join(URL(location, encoded=True)).with_user(None).with_fragment(None)
            usable = target.scheme in {"http", "https"} and bool(target.host)
        except (ValueError, IndexError):  # yarl 1.25 raises the latter for some hosts with brackets
            usable = False
        sent = f"upstream {self._name}: {redacted(url)}: it sends us to"
        if not usable:
            raise UpstreamProtocolError(
                f"{sent} {location[:200]!r}, which is no URL that can be asked", upstream=self._name
            )
        if target.scheme == "http" and self.base.scheme == "https":
            raise UpstreamProtocolError(
                f"{sent} {redacted(target)}, which is not encrypted: not followed", upstream=self._name
            )
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
        raise ConfigurationFault(f"upstreams.{name}.url: write https://HOST or https://HOST:PORT, not {url!r}")
    if base.scheme == "http" and not plain_http:
        raise ConfigurationFault(
            f"upstreams.{name}.url is not encrypted: write https://{url.partition('://')[2]}, "
            f"or set upstreams.{name}.plain_http: true if that is meant"
        )
    return base.origin()
