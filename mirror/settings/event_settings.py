"""The section ``events``: endpoints that are told about changes."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from mirror.settings.section import Mistakes, Section
from mirror.settings.section_values import FilePath, TextForm

_NO_URL: Final = "is no URL of a server; fix: write it like https://hooks.example/plugins"
_NAME: Final = TextForm(
    r"^[a-z0-9][a-z0-9._-]{0,63}$",
    "is no name of an endpoint; fix: use at most 64 lower-case letters, digits and . _ -",
)

#: Names, and addresses of IPv6 with their zone.
_HOST: Final = re.compile(r"[\w.-]+|[0-9a-f.]*:[0-9a-f:.]*(%[\w.-]+)?")
_PATH: Final = re.compile(r"(://[^/?]*[/?]).+")
_MOST_NAME: Final = 64


def _check_url(text: str) -> str:
    if not text.isprintable() or " " in text:
        raise ValueError("has a space or a control character; fix: write %20, or remove it")
    from yarl import URL

    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise ValueError(_NO_URL) from error
    if url.scheme not in {"http", "https"} or not url.host or port is None or not _HOST.fullmatch(url.host):
        raise ValueError(_NO_URL)
    if url.user is not None or url.password is not None:
        raise ValueError("has a login, which logs would show; fix: verify the signature at the endpoint instead")
    if url.fragment:
        raise ValueError("has a fragment, which is never sent; fix: remove it")
    return text


def _without_path(url: str) -> str:
    # The path of a webhook, or its query, is mostly its secret.
    return _PATH.sub(r"\1(hidden)", url)


def _check_kind(text: str) -> str:
    from mirror.records.changes.change import ChangeKind

    if not any(f"{kind}.".startswith(f"{text}.") for kind in ChangeKind):
        raise ValueError("is no kind of change, nor the begin of one; fix: write it like tag.moved, or plugin")
    return text


class EventSettings(Section):
    """An endpoint that receives a CloudEvent for each change."""

    url: Annotated[str, AfterValidator(_check_url), PlainSerializer(_without_path, return_type=str)] = Field(
        description="URL that receives POST requests, such as https://hooks.example/plugins; its path and query are "
        "shown nowhere, because they are mostly a secret"
    )
    secret_file: FilePath = Field(
        description="file with the secrets that sign requests, one on each line: whsec_BASE64, or whsk_BASE64 for "
        "Ed25519. With two, the receiver can change from one to the other"
    )
    on: tuple[Annotated[str, AfterValidator(_check_kind)], ...] = Field(
        (), description="kinds of changes, such as tag.moved, or plugin for all that begin so; omitted: all"
    )
    name: Annotated[str, _NAME] | None = Field(
        None,
        description="name of the endpoint in commands and metrics; omitted: the host of url",
    )
    plain_http: bool = Field(default=False, description="must be true if url begins with http://")
    ca: FilePath | None = Field(None, description="file with the CA of the endpoint; omitted: the CAs of the system")

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        from yarl import URL

        if URL(self.url).scheme == "http" and not self.plain_http:
            raise Mistakes(
                (("url",), "is not encrypted; fix: write https://, or add 'plain_http: true' if that is intended")
            )
        return self

    @model_validator(mode="after")
    def _has_a_short_name(self) -> Self:
        if len(self.shown_name) > _MOST_NAME:
            told = f"its host is longer than {_MOST_NAME} characters; fix: give the endpoint a name"
            raise Mistakes((("url",), told))
        return self

    @property
    def shown_name(self) -> str:
        """Name of the endpoint."""
        from yarl import URL

        return self.name or (URL(self.url).host or "").lower()
