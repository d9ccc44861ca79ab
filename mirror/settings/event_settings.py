"""The section ``events``: endpoints that are told about changes."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from mirror.settings.section import Section

#: Names, and addresses of IPv6 with their zone.
_HOST: Final = re.compile(r"[\w.-]+|[0-9a-f.]*:[0-9a-f:.]*(%[\w.-]+)?")
_MOST_NAME: Final = 64


def _check_url(text: str) -> str:
    if not text.isprintable() or " " in text:
        raise ValueError("it has a space or a control character")
    from yarl import URL

    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"it is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or port is None or not _HOST.fullmatch(url.host):
        raise ValueError("it is no URL that begins with https:// and has a host")
    if url.user is not None or url.password is not None:
        raise ValueError("it has a login, which logs would show; fix: verify the signature at the endpoint instead")
    if url.fragment:
        raise ValueError("it has a fragment, which is never sent")
    return text


def _check_kind(text: str) -> str:
    from mirror.records.changes.change import ChangeKind

    if not any(f"{kind}.".startswith(f"{text}.") for kind in ChangeKind):
        raise ValueError(f"{text!r} is no kind of change, such as tag.moved, nor the begin of one, such as plugin")
    return text


class EventSettings(Section):
    """An endpoint that receives a CloudEvent for each change."""

    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="URL that receives POST requests, such as https://hooks.example/plugins"
    )
    secret_file: Path = Field(
        description="file with the secrets that sign requests, one on each line: whsec_BASE64, or whsk_BASE64 for "
        "Ed25519. With two, the receiver can change from one to the other"
    )
    on: tuple[Annotated[str, AfterValidator(_check_kind)], ...] = Field(
        (), description="kinds of changes, such as tag.moved, or plugin for all that begin so; omitted: all"
    )
    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="name of the endpoint in commands and metrics; omitted: the host of url",
    )
    plain_http: bool = Field(default=False, description="must be true if url begins with http://")
    ca: Path | None = Field(None, description="file with the CA of the endpoint; omitted: the CAs of the system")

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        from yarl import URL

        if URL(self.url).scheme == "http" and not self.plain_http:
            raise ValueError(
                f"{self.url} is not encrypted; fix: write https://, or add 'plain_http: true' if that is intended"
            )
        return self

    @property
    def shown_name(self) -> str:
        """Name of the endpoint."""
        from yarl import URL

        return self.name or (URL(self.url).host or "").lower()


def check_names(endpoints: Collection[EventSettings]) -> None:
    """Check that each endpoint has a name of its own. Raises ValueError."""
    names = [each.shown_name for each in endpoints]
    if long := [name for name in names if len(name) > _MOST_NAME]:
        raise ValueError(f"events: {long[0]!r} is longer than {_MOST_NAME} characters; fix: give the endpoint a name")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"events: two endpoints are called {min(twice)!r}; fix: give each a name")
