"""URLs of an upstream, and the foreign URLs to which its answers may refer."""

from __future__ import annotations

from yarl import URL

from mirror.oci.errors import ConfigurationFault, UpstreamProtocolError
from mirror.upstream.http.forbidden_destinations import DestinationGuard, kind_of
from mirror.upstream.http.upstream_errors import redacted
from mirror.wire.registry_url import DOCKER_HUB_HOSTS, RegistryUrl


class UpstreamUrls:
    """The addresses of one upstream.

    Args:
        name: name in the configuration, for errors.
        url: ``https://HOST[:PORT][/PATH]``. All requests go below this path.
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
        self.base, self._prefix = _base_and_prefix(name, url, plain_http=plain_http)
        own_kind = kind_of(self.base.host or "")
        self.guard = DestinationGuard({own_kind} if own_kind else ())

    @property
    def is_docker_hub(self) -> bool:
        """True if the upstream is Docker Hub."""
        return self.base.host == DOCKER_HUB_HOSTS[0]

    def absolute(self, url: str) -> URL:
        """Return the absolute URL of a path below the upstream's own path, or of a URL. The text is not re-encoded."""
        # Signed URLs and upload locations are valid only exactly as the upstream wrote them.
        parsed = URL(url, encoded=True)
        if parsed.absolute:
            return parsed
        return self.base.join(URL(f"{self._prefix}{url}", encoded=True) if url.startswith("/") else parsed)

    def relative(self, url: str, location: str) -> str:
        """Resolve ``Location`` in the answer to a request for ``url``.

        Returns:
            Path and query for :meth:`absolute`, or the absolute URL if the location is not below the upstream's URL.

        Raises:
            UpstreamProtocolError: as :meth:`follow`.
        """
        target = self.follow(self.absolute(url), location)
        path = target.raw_path_qs
        if target.origin() != self.base:
            return str(target)
        if path.startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix)
        elif not path.startswith("/v2/"):  # a registry behind a proxy may not know the path that the proxy cuts off
            return str(target)
        # A path that begins with ``//`` would later be read as a host.
        return str(target) if path.startswith("//") else path

    def follow(self, url: URL, location: str) -> URL:
        """Resolve ``location`` from an answer to ``url``. A user in the location is dropped.

        An ``http://`` location on the host of an encrypted upstream becomes ``https://``.

        Raises:
            UpstreamProtocolError: the URL is not an HTTP URL, is unencrypted although the upstream is encrypted, or
                contains a forbidden address. The addresses behind a name are checked when a connection is made.
        """
        try:
            target = url.join(URL(location, encoded=True)).with_user(None).with_fragment(None)
            usable = target.scheme in {"http", "https"} and bool(target.host)
            if usable and self._is_own_without_encryption(target):
                # A registry behind a proxy for TLS does not know that its clients use https.
                target = target.with_scheme("https").with_port(self.base.explicit_port)
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

    def _is_own_without_encryption(self, target: URL) -> bool:
        encrypted = self.base.scheme == "https" and target.scheme == "http"
        return encrypted and target.host == self.base.host and target.port in {80, self.base.port}


def _base_and_prefix(name: str, url: str, *, plain_http: bool) -> tuple[URL, str]:
    setting = f"upstreams.{name}.url"
    try:
        parsed = RegistryUrl.parse(url)
        base = URL(parsed.origin).origin()
        base.host  # noqa: B018 - yarl decodes a name on first use, and raises for an invalid name
    except ConfigurationFault as error:
        raise ConfigurationFault(f"{setting}: {error}") from error
    except ValueError as error:
        raise ConfigurationFault(f"{setting}: {url!r} has an invalid host or port; fix: write https://HOST") from error
    if base.scheme == "http" and not plain_http:
        raise ConfigurationFault(
            f"{setting} is not encrypted; fix: write https://{url.partition('://')[2]}, "
            f"or set upstreams.{name}.plain_http: true if this is intended"
        )
    return base, parsed.path
