"""The section ``storage.catalog``."""

from pathlib import Path

import pytest

from mirror.oci.errors import ConfigurationFault
from mirror.settings import load
from mirror.settings.storage.catalog_settings import CatalogSettings
from mirror.store.catalog.databases.postgresql_database import PostgresqlAddress


def message(folder: Path, url: str) -> str:
    """Return the error of a configuration that names a database."""
    file = folder / "config.yaml"
    file.write_text(f"storage:\n  catalog:\n    url: {url}\n")
    with pytest.raises(ConfigurationFault) as raised:
        load(file)
    return str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://mirror@db.example.com/plugins",
        "postgres://db/plugins",
        "postgresql://mirror@db:5433/plugins?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://mirror@one,two/plugins?target_session_attrs=read-write",
        "postgresql:///plugins?host=/run/postgresql",
    ],
)
def test_the_url_of_a_database(url: str) -> None:
    assert CatalogSettings(url=url).url == url
    assert PostgresqlAddress.parse(url).place.startswith("postgresql://")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://db/plugins", "is not the URL of a database of PostgreSQL"),
        ("sqlite:///catalog.sqlite", "is not the URL of a database of PostgreSQL"),
        ("db.example.com", "is not the URL of a database"),
        ("postgresql://mirror@db.example", "names no database"),
        ("postgresql:///?host=/run", "names no database"),
    ],
)
def test_what_is_no_url_of_a_database(url: str, told: str, tmp_path: Path) -> None:
    assert f"config.yaml:3: storage.catalog.url: {told}" in message(tmp_path, url)
    assert "fix: write postgresql://USER@HOST/DATABASE" in message(tmp_path, url)


@pytest.mark.parametrize(
    "url", ["postgresql://mirror:s3cr3tword@db/plugins", "postgresql://db/plugins?user=a&password=s3cr3tword"]
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    told = message(tmp_path, url)
    assert "storage.catalog.url: has a password" in told
    assert told.endswith("fix: write the password to a file, and name it in password_file")
    assert "s3cr3tword" not in told


def test_the_address_of_a_message_has_no_parameters() -> None:
    address = PostgresqlAddress.parse("postgresql://mirror@db/plugins?sslpassword=word&sslkey=/k")
    assert address.place == "postgresql://mirror@db/plugins"
