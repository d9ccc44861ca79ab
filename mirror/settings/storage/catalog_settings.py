"""The section ``storage.catalog``: a database of PostgreSQL for the catalog."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

from mirror.settings.section import Section
from mirror.settings.section_values import FilePath, checked_by

_URL: Final = re.compile(
    r"(?P<scheme>[a-z+]+)://((?P<user>[^/?#@]*)@)?(?P<hosts>[^/?#@]*)(/(?P<name>[^/?#]*))?(\?[^#]*)?"
)
_EXAMPLE: Final = "write postgresql://USER@HOST/DATABASE"


def _check_url(text: str) -> None:
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(f"is not the URL of a database; fix: {_EXAMPLE}")
    if found["scheme"] not in {"postgresql", "postgres"}:
        raise ValueError(f"is not the URL of a database of PostgreSQL; fix: {_EXAMPLE}")
    if ":" in (found["user"] or "") or "password=" in text:
        raise ValueError("has a password; fix: write the password to a file, and name it in password_file")
    if not found["name"]:
        raise ValueError(f"names no database; fix: {_EXAMPLE}")


DatabaseUrl = Annotated[str, checked_by(_check_url)]


class CatalogSettings(Section):
    """Database of the catalog. Without it, the catalog is a file of SQLite in the data folder."""

    url: DatabaseUrl = Field(
        description="postgresql://USER@HOST/DATABASE, with the parameters of libpq, such as ?sslmode=verify-full"
    )
    password_file: FilePath | None = Field(
        None, description="file whose first line is the password; without it, libpq looks in PGPASSFILE and ~/.pgpass"
    )
