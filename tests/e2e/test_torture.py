"""The checks of the torture test detect the damage that a faulty server would leave behind."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.mirror import Mirror
from tests.torture.campaign import Campaign
from tests.torture.inspection import inspect, leftovers
from tests.torture.model import BrokenPromise

pytestmark = pytest.mark.e2e

_ONE_CLIENTS = "(SELECT id FROM repositories WHERE name LIKE 'torture/client%')"
LIES = {
    "a tag is lost": "DELETE FROM tags WHERE (repository_id, name) = (SELECT repository_id, name FROM tags LIMIT 1)",
    "a tag points elsewhere": f"""
        UPDATE tags SET digest =
            (SELECT digest FROM manifests m WHERE m.repository_id = tags.repository_id AND m.digest <> tags.digest)
        WHERE repository_id IN {_ONE_CLIENTS} AND repository_id IN
            (SELECT repository_id FROM manifests GROUP BY repository_id HAVING count(*) > 1)""",
    "a manifest is lost": "DELETE FROM manifests WHERE digest = (SELECT digest FROM tags LIMIT 1)",
    "a blob is lost": "DELETE FROM repository_blobs WHERE digest = (SELECT digest FROM repository_blobs LIMIT 1)",
    "blobs from elsewhere": f"""
        INSERT OR IGNORE INTO repository_blobs (repository_id, digest, added_at)
        SELECT r.id, b.digest, b.added_at FROM repositories r, repository_blobs b WHERE r.id IN {_ONE_CLIENTS}""",
    "a tag from nowhere": """
        INSERT INTO tags (repository_id, name, digest, updated_at, pushed)
        SELECT repository_id, 'unsent', digest, created_at, 1 FROM manifests LIMIT 1""",
    "a repository from nowhere": """
        INSERT INTO repositories (name) VALUES ('never/sent');
        INSERT INTO repository_blobs (repository_id, digest, added_at)
        SELECT r.id, b.digest, b.added_at FROM repositories r, repository_blobs b
        WHERE r.name = 'never/sent' LIMIT 1""",
    "a row without a file": "INSERT INTO blobs VALUES ('sha256:00', 1, '2026-01-01 00:00:00')",
}
HARMS: dict[str, Callable[[Path], object]] = {
    "other bytes": lambda blob: blob.write_bytes(bytes(blob.stat().st_size)),
    "fewer bytes": lambda blob: blob.write_bytes(blob.read_bytes()[:-1]),
    "no file": lambda blob: blob.unlink(),
    "a foreign file among the blobs": lambda blob: blob.with_name("data").write_bytes(b""),
    "a foreign file beside the catalog": lambda blob: (blob.parents[3] / "data").write_bytes(b""),
}


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    """A server with changes of several clients, which has kept its promises so far."""
    with Mirror(workers=2) as mirror:
        campaign = Campaign(mirror, clients=2, seed=1)
        campaign.load(1.5)
        campaign.check()
        yield campaign


@pytest.fixture
def catalog(campaign: Campaign) -> Iterator[sqlite3.Connection]:
    """The catalog, which is restored after the test."""
    data = campaign.mirror.data
    with closing(sqlite3.connect(data / "catalog.sqlite")) as catalog, closing(sqlite3.connect(":memory:")) as kept:
        catalog.backup(kept)
        catalog.execute("PRAGMA foreign_keys=ON")
        yield catalog
        kept.backup(catalog)
        forget(data)
    campaign.check()


@pytest.mark.parametrize("lie", LIES)
def test_a_catalog_that_lies(campaign: Campaign, catalog: sqlite3.Connection, lie: str) -> None:
    for statement in LIES[lie].split(";"):
        assert catalog.execute(statement).rowcount > 0
    catalog.commit()
    forget(campaign.mirror.data)

    with pytest.raises(BrokenPromise):
        campaign.check()


@pytest.mark.parametrize("harm", HARMS)
def test_a_folder_that_was_harmed(campaign: Campaign, harm: str) -> None:
    data = campaign.mirror.data
    blob = max((data / "blobs").glob("sha256/*/*"), key=lambda path: path.stat().st_size)
    content = blob.read_bytes()
    try:
        HARMS[harm](blob)
        with pytest.raises(BrokenPromise):
            inspect(data)
    finally:
        (data / "data").unlink(missing_ok=True)
        blob.with_name("data").unlink(missing_ok=True)
        blob.write_bytes(content)
    inspect(data)


def test_leftovers_are_seen_and_expire(campaign: Campaign) -> None:
    data = campaign.mirror.data
    (data / "uploads" / "forgotten").mkdir()
    assert leftovers(data) == ["uploads/forgotten"]
    campaign.expire()
    assert leftovers(data) == []


def forget(data: Path) -> None:
    """Invalidate the server's caches after a direct change of the catalog."""
    with (data / "generation").open("r+b", buffering=0) as file:
        count = int.from_bytes(file.read(8), "little")
        file.seek(0)
        file.write((count + 2).to_bytes(8, "little"))
