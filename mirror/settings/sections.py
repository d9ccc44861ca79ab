"""The sections of the configuration. Every key is documented here; ``plugin-mirror config schema`` prints it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic_settings import NoDecode

from mirror.filters.authorize import Action
from mirror.settings.listen import Listen


def _parse_listen(value: object) -> object:
    return Listen.parse(value) if isinstance(value, str) else value


def _parse_actions(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


ListenAddress = Annotated[
    Listen,
    NoDecode,
    BeforeValidator(_parse_listen, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]


class Section(BaseModel):
    """A frozen section without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ServerSettings(Section):
    """How the registry is served."""

    listen: ListenAddress = Field(Listen("127.0.0.1", 5000), description="HOST:PORT to listen on")
    workers: int = Field(1, ge=1, le=256, description="processes that serve the port")
    anonymous: Annotated[tuple[Action, ...] | None, BeforeValidator(_parse_actions)] = Field(
        None,
        description="what callers without credentials may do: pull, push, delete. "
        "Unset: pull and push on a loopback address; on any other it must be written down",
    )
    shutdown_seconds: float = Field(30, ge=0, description="how long transfers may take to finish at shutdown")

    @model_validator(mode="after")
    def _say_who_may_push(self) -> Self:
        if self.anonymous is None and not self.listen.is_loopback:
            raise ValueError(
                f"{self.listen} can be reached from other hosts, and nobody has said what anonymous callers may do: "
                "write 'anonymous: [pull]' under server: to let everybody install, "
                "or 'anonymous: [pull, push]' to let everybody push as well"
            )
        return self

    @property
    def anonymous_actions(self) -> frozenset[Action]:
        """What callers without credentials may do."""
        return frozenset((Action.PULL, Action.PUSH) if self.anonymous is None else self.anonymous)


class StorageSettings(Section):
    """Where content is kept."""

    path: Path = Field(Path("data"), description="folder of blobs and catalog, made where absent")
    upload_expiry_hours: float = Field(24, gt=0, description="age at which an idle upload is dropped")


class LogSettings(Section):
    """What is logged to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else json")


class CredentialSettings(Section):
    """Who we are to an upstream: docker's own login, or a name and a file that holds the password."""

    docker_config: Path | None = Field(None, description="config.json written by docker login")
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


class UpstreamSettings(Section):
    """A registry that content is taken from."""

    url: str = Field(pattern=r"^https?://[^/?#@]+/?$", description="root URL, such as https://registry-1.docker.io")
    plain_http: bool = Field(default=False, description="must be true where url is http://")
    credentials: CredentialSettings | None = Field(None, description="omitted: anonymous")
    connect_timeout_seconds: float = Field(10, gt=0, description="longest wait for a connection")
    read_timeout_seconds: float = Field(60, gt=0, description="longest wait between two pieces of an answer")

    @model_validator(mode="after")
    def _plain_http_by_name(self) -> Self:
        if self.url.startswith("http://") and not self.plain_http:
            raise ValueError(f"{self.url} is not encrypted: write https://, or add 'plain_http: true' if that is meant")
        return self


class TagSettings(Section):
    """Which tags of a repository are taken. Without any key: all."""

    include: tuple[str, ...] = Field((), description="globs; empty: every tag")
    exclude: tuple[str, ...] = Field((), description="globs, which win over include")
    newest: int | None = Field(None, ge=1, description="only so many, by the version in the tag")


class MirrorSettings(Section):
    """A rule: content copied ahead of need."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="the rule's name, for the command line")
    source: str = Field(alias="from", description="UPSTREAM/REPOSITORY")
    to: str = Field(description="repository here")
    tags: TagSettings = Field(TagSettings(), description="which tags")
    every: str | None = Field(None, pattern=r"^[1-9][0-9]*[smhd]$", description="interval, such as 30m or 6h")
    cron: str | None = Field(None, description="five cron fields, in UTC")

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.every is not None and self.cron is not None:
            raise ValueError("give every or cron, not both")
        return self


class ProxySettings(Section):
    """A rule: content fetched on first pull."""

    source: str = Field(alias="from", description="UPSTREAM/REPOSITORY, with * and **")
    to: str = Field(description="repository here, with the same * and **")


class Settings(Section):
    """The whole configuration."""

    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    log: LogSettings = LogSettings()
    upstreams: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")], UpstreamSettings] = {}
    mirrors: tuple[MirrorSettings, ...] = ()
    proxy: tuple[ProxySettings, ...] = ()

    @model_validator(mode="after")
    def _rules_make_sense(self) -> Self:
        names = [rule.name for rule in self.mirrors]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"mirrors: the name {min(twice)!r} is given to more than one rule")
        for where, source in self._sources():
            upstream, slash, repository = source.partition("/")
            if not slash or not repository:
                raise ValueError(f"{where}: from: {source!r} is not UPSTREAM/REPOSITORY")
            if upstream not in self.upstreams:
                known = ", ".join(sorted(self.upstreams)) or "none"
                raise ValueError(f"{where}: from: no upstream is named {upstream!r} (upstreams: {known})")
        return self

    def _sources(self) -> list[tuple[str, str]]:
        rules: list[tuple[str, str]] = [(f"mirrors: {rule.name}", rule.source) for rule in self.mirrors]
        return rules + [(f"proxy: rule {number}", rule.source) for number, rule in enumerate(self.proxy, 1)]

    def shown(self) -> dict[str, Any]:
        """The effective settings as plain values, with the keys of the file."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
