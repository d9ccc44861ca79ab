"""The section ``upstreams``: registries that content is fetched from."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, PlainSerializer, field_validator, model_validator

from mirror.settings.section import Mistakes, Section
from mirror.settings.section_values import MOST_BYTES, MOST_COUNT, FilePath, TextForm, checked_by
from mirror.wire.registry_url import RegistryUrl

_NO_ZONE: Final = "no time zone has this name; fix: write it like Europe/Zurich, or install tzdata on this machine"
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")
_PORT: Final = re.compile(r":([0-9]+)/?$")
_LARGEST_PORT: Final = 65_535
_PROXY: Final = TextForm(
    r"^(direct|(https?|socks5h?|socks4a?)://[^/?#]+/?)$",
    "is not the URL of a proxy; fix: write http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT, or direct",
)


def _without_login(url: str) -> str:
    # A password may contain an @, so the last one separates the login from the host.
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}(hidden)@{rest.rpartition('@')[2]}" if "@" in rest else url


def _check_proxy_port(url: str) -> str:
    port = _PORT.search(url)
    if port is not None and not 0 < int(port[1]) <= _LARGEST_PORT:
        raise ValueError(f"has a wrong port; fix: write a port between 1 and {_LARGEST_PORT}")
    return url


ProxyUrl = Annotated[
    str, _PROXY, AfterValidator(_check_proxy_port), PlainSerializer(_without_login, return_type=str)
]  # config show prints the URL without user and password


class CredentialSettings(Section):
    """Credentials for an upstream: the login of Docker, or a user name and a file with the password.

    Both files are read again when they change.
    """

    docker_config: FilePath | None = Field(
        None, description="config.json of docker login, with its credential helpers and identity tokens"
    )
    username: str | None = Field(None, description="user name; requires password_file")
    password_file: FilePath | None = Field(None, description="file whose first line is the password")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        pair = (self.username is not None, self.password_file is not None)
        if self.docker_config is not None and any(pair):
            raise ValueError("two logins are given; fix: keep docker_config, or username and password_file")
        if self.docker_config is None and pair != (True, True):
            raise ValueError("a login is not complete; fix: give docker_config, or both username and password_file")
        return self


class TlsSettings(Section):
    """Certificates for connections to an upstream."""

    # There is no key to skip verification. A private authority belongs into ca_file.
    ca_file: FilePath | None = Field(
        None, description="PEM file of certificate authorities, trusted in addition to those of the system"
    )
    certificate_file: FilePath | None = Field(
        None, description="PEM file of the client certificate; sent to the upstream, not to hosts that it redirects to"
    )
    key_file: FilePath | None = Field(
        None, description="PEM file of the key of the client certificate, without a passphrase"
    )

    @model_validator(mode="after")
    def _key_and_certificate(self) -> Self:
        if self.key_file is not None and self.certificate_file is None:
            raise Mistakes((("key_file",), "there is no certificate for this key; fix: add certificate_file"))
        return self


def _parse_time(value: object) -> object:
    if not isinstance(value, time) and not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise ValueError("is not a time of day; fix: write HH:MM, such as 08:00; time_zone is a key beside bandwidth")
    return value


TimeOfDay = Annotated[time, BeforeValidator(_parse_time, json_schema_input_type=str)]


class WindowSettings(Section):
    """A bandwidth limit for the whole day or a part of it."""

    bytes_per_second: ByteSize = Field(ge=1024, le=MOST_BYTES, description="bytes per second, such as 2MiB")
    start: TimeOfDay | None = Field(
        None, alias="from", description="start of the window, such as 08:00; omitted: all day"
    )
    stop: TimeOfDay | None = Field(
        None, alias="to", description="end of the window, such as 18:00; may be on the next day"
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.start is None) != (self.stop is None):
            raise ValueError("a window has a start and an end; fix: give both from and to, or neither")
        if self.start is not None and self.start == self.stop:
            raise ValueError("from and to are the same; fix: leave both out for all day")
        return self


class LimitSettings(Section):
    """Limits for the use of an upstream. Rates apply to all workers and commands together."""

    # Two is the least: a quarter of the connections, and at least one, is kept for short requests.
    connections: int = Field(64, ge=2, le=10_000, description="most requests at the same time, in each process")
    requests_per_second: float | None = Field(
        None, gt=0, le=MOST_COUNT, description="most requests per second; omitted: no limit"
    )
    bandwidth: tuple[WindowSettings, ...] = Field(
        (), description="limits of the bytes read per second; the first window that applies decides; none: no limit"
    )
    list_entries: int = Field(
        200_000,
        ge=1000,
        le=2_000_000,
        description="most entries of a list of tags or repositories; a longer list is refused",
    )
    time_zone: str = Field("UTC", description="time zone of the windows, such as Europe/Berlin")

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        # ZoneInfo raises ValueError for a name that leads out of its folder, and OSError for one that is a folder.
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(_NO_ZONE) from error
        return value


class BreakerSettings(Section):
    """Conditions under which a failing host is not asked for a while."""

    failures: int = Field(
        5, ge=1, le=MOST_COUNT, description="failures in a row that open the breaker; one connect timeout is enough"
    )
    rest_seconds: float = Field(
        10, gt=0, le=86400, description="first pause in seconds; it doubles after each failed probe"
    )
    longest_rest_seconds: float = Field(120, gt=0, le=86400, description="longest pause without a probe, in seconds")


class UpstreamSettings(Section):
    """A registry that content is fetched from."""

    url: Annotated[str, checked_by(RegistryUrl.parse)] = Field(
        description="URL of the registry, such as https://registry-1.docker.io; it may have a path, such as "
        "https://nexus.example/repository/docker, and never contains /v2"
    )
    plain_http: bool = Field(default=False, description="must be true if url begins with http://")
    offline: bool = Field(default=False, description="true: never open a connection to this upstream")
    credentials: CredentialSettings | None = Field(None, description="credentials; omitted: anonymous")
    tls: TlsSettings = Field(TlsSettings.model_construct(), description="certificates for TLS")
    proxy: ProxyUrl | None = Field(
        None,
        description="proxy as http://, https:// or socks5:// URL, or direct; omitted: HTTPS_PROXY and NO_PROXY decide",
    )
    connect_timeout_seconds: float = Field(10, gt=0, le=86400, description="longest wait for a connection, in seconds")
    read_timeout_seconds: float = Field(
        60, gt=0, le=86400, description="longest wait between two pieces of a response, in seconds"
    )
    short_names: bool | None = Field(
        None,
        description="true: a name with one component, such as busybox, means library/busybox; omitted: true for Docker "
        "Hub, false for others",
    )
    limits: LimitSettings = Field(LimitSettings.model_construct(), description="limits for the use of the upstream")
    breaker: BreakerSettings = Field(BreakerSettings.model_construct(), description="circuit breaker")

    @model_validator(mode="after")
    def _plain_http_by_name(self) -> Self:
        if self.url.startswith("http://") and not self.plain_http:
            raise Mistakes(
                (("url",), "is not encrypted; fix: write https://, or add 'plain_http: true' if that is intended")
            )
        return self
