"""The section ``upstreams``: registries that content is taken from."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import ByteSize, Field, PlainSerializer, field_validator, model_validator

from mirror.settings.section import Section

_PROXY = r"^(direct|(https?|socks5h?|socks4a?)://[^/?#]+/?)$"


def _without_login(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}(hidden)@{rest.rpartition('@')[2]}" if "@" in rest else url


ProxyUrl = Annotated[
    str, Field(pattern=_PROXY), PlainSerializer(_without_login, return_type=str)
]  # whose password is not shown


class CredentialSettings(Section):
    """Who we are to an upstream: docker's own login, or a name and a file that holds the password.

    Both are read again when the file changes.
    """

    docker_config: Path | None = Field(
        None, description="config.json written by docker login; credential helpers and identity tokens in it are used"
    )
    username: str | None = Field(None, description="user name, with password_file")
    password_file: Path | None = Field(None, description="file whose first line is the password")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        pair = (self.username is not None, self.password_file is not None)
        if self.docker_config is not None and any(pair):
            raise ValueError("give docker_config, or username and password_file, not both")
        if self.docker_config is None and pair != (True, True):
            raise ValueError("give docker_config, or both username and password_file")
        return self


class TlsSettings(Section):
    """Certificates towards an upstream."""

    ca_file: Path | None = Field(None, description="PEM file of authorities trusted beside the system's")
    certificate_file: Path | None = Field(
        None, description="PEM file of our own certificate; shown to the upstream itself, not where it redirects to"
    )
    key_file: Path | None = Field(None, description="PEM file of its key, without a passphrase")

    @model_validator(mode="after")
    def _key_and_certificate(self) -> Self:
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file needs certificate_file")
        return self


class WindowSettings(Section):
    """A bandwidth limit, all day or for a part of it."""

    bytes_per_second: ByteSize = Field(ge=1024, description="such as 2MiB")
    start: time | None = Field(None, alias="from", description='from when, such as "08:00"; omitted: all day')
    stop: time | None = Field(None, alias="to", description='until when, such as "18:00"; may lie on the next day')

    @field_validator("start", "stop", mode="before")
    @classmethod
    def _in_quotes(cls, value: object) -> object:
        if isinstance(value, int | float):
            raise ValueError('write it in quotes, such as "18:00": YAML reads it as a number otherwise')  # noqa: TRY004
        return value

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.start is None) != (self.stop is None):
            raise ValueError("give both from and to, or neither")
        if self.start is not None and self.start == self.stop:
            raise ValueError("from and to are the same: leave both out for all day")
        if any(each is not None and each.tzinfo is not None for each in (self.start, self.stop)):
            raise ValueError("from and to have no zone of their own: set time_zone beside bandwidth")
        return self


class LimitSettings(Section):
    """How hard an upstream may be used. What is per second holds for all workers and commands together."""

    connections: int = Field(64, ge=2, le=10_000, description="requests at the same time, in each process")
    requests_per_second: float | None = Field(None, gt=0, description="omitted: as many as it takes")
    bandwidth: tuple[WindowSettings, ...] = Field(
        (), description="bytes a second that are read; the first window that holds decides; none: as fast as it goes"
    )
    list_entries: int = Field(
        200_000,
        ge=1000,
        le=2_000_000,
        description="most tags of a repository, or repositories, that are listed there; a longer list is refused",
    )
    time_zone: str = Field("UTC", description="zone of the windows' clock, such as Europe/Berlin")

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"no time zone is named {value!r} (does this machine lack tzdata?)") from error
        return value


class BreakerSettings(Section):
    """When a host that fails is left alone."""

    failures: int = Field(5, ge=1, description="failures in a row; a connect timeout is enough by itself")
    rest_seconds: float = Field(10, gt=0, description="how long at first; twice as long after each failed probe")
    longest_rest_seconds: float = Field(120, gt=0, description="never longer without a probe")


class UpstreamSettings(Section):
    """A registry that content is taken from."""

    url: str = Field(pattern=r"^https?://[^/?#@]+/?$", description="root URL, such as https://registry-1.docker.io")
    plain_http: bool = Field(default=False, description="must be true where url is http://")
    offline: bool = Field(default=False, description="never open a connection to it")
    credentials: CredentialSettings | None = Field(None, description="omitted: anonymous")
    tls: TlsSettings = Field(TlsSettings(), description="certificates")
    proxy: ProxyUrl | None = Field(
        None,
        description="http://, https:// or socks5:// URL, or direct; omitted: HTTPS_PROXY and NO_PROXY decide",
    )
    connect_timeout_seconds: float = Field(10, gt=0, description="longest wait for a connection")
    read_timeout_seconds: float = Field(60, gt=0, description="longest wait between two pieces of an answer")
    limits: LimitSettings = Field(LimitSettings(), description="how hard it may be used")
    breaker: BreakerSettings = Field(BreakerSettings(), description="when it is left alone")

    @model_validator(mode="after")
    def _plain_http_by_name(self) -> Self:
        if self.url.startswith("http://") and not self.plain_http:
            raise ValueError(f"{self.url} is not encrypted: write https://, or add 'plain_http: true' if that is meant")
        return self
