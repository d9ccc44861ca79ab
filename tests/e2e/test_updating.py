"""A data folder that an earlier version left is served by this one: nothing is lost, and the way back stays open."""

import io
import json
import os
import shutil
import sqlite3
import tarfile
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mirror.store.catalog.tables.catalog_format import HEAD
from tests.harness.command import run
from tests.harness.mirror import PROGRAM, Mirror
from tests.harness.packing import digest_of
from tests.harness.ports import free_port
from tests.harness.pulling import manifest, take
from tests.harness.requirement import require

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
FOLDERS = ROOT / "tests/unit/store/folders"
FACTS: dict[str, Any] = json.loads((FOLDERS / "used-0007.json").read_text())
READABLE = {name: facts for name, facts in FACTS["tags"].items() if "digest" in facts}
#: The commit that made the folder (`folders/README.md`).
EARLIER = "04404b9"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """The server with the configuration of the earlier one. Its upstream is gone."""
    data = tmp_path_factory.mktemp("updated") / "data"
    shutil.unpack_archive(FOLDERS / "used-0007.tar.gz", data, filter="tar")
    sections = {
        "upstreams": {"hub": {"url": f"http://127.0.0.1:{free_port()}", "plain_http": True}},
        "mirrors": [{"name": "nfs", "from": "hub/vendor/nfs", "to": "site/nfs"}],
        "proxy": [{"from": "hub/**", "to": "hub/**"}],
        "admission": {"rules": [{"name": "host-network", "action": "hold", "privileges": ["network=host"]}]},
    }
    with Mirror(data=data, sections=sections) as mirror:
        yield mirror


def earlier_missing() -> str | None:
    """Return a sentence that says why the code of the earlier version cannot be had, or None."""
    if shutil.which("git") is None:
        return "git is not installed (Debian: apt-get install git)"
    known = run(["git", "-C", str(ROOT), "cat-file", "-e", EARLIER], check=False)
    return (
        None if known.exit_code == 0 else f"the history of the checkout lacks commit {EARLIER} (git fetch --unshallow)"
    )


def revision(catalog: Path) -> str:
    with closing(sqlite3.connect(catalog)) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_the_catalog_was_copied_before_its_update(mirror: Mirror) -> None:
    copy = mirror.data / "catalog-0007.sqlite"
    assert (revision(copy), revision(mirror.data / "catalog.sqlite")) == ("0007", HEAD)
    assert [line["path"] for line in mirror.log if line["event"] == "catalog copied before its update"] == [str(copy)]


@pytest.mark.parametrize("name", FACTS["tags"])
def test_each_tag_has_its_content(mirror: Mirror, name: str) -> None:
    repository, tag = name.split(":")
    facts = FACTS["tags"][name]
    status, _, content = manifest(mirror.url, repository, tag)
    if "status" in facts:
        assert status == facts["status"]
        return
    assert (status, digest_of(content)) == (200, facts["digest"])
    blobs = [digest_of(take(mirror.port, blob, name=repository).content) for blob in facts["blobs"]]
    assert blobs == facts["blobs"]


def test_every_byte_is_sound(mirror: Mirror) -> None:
    scrubbed = json.loads(mirror.command("scrub", "--json").stdout)
    blobs = {digest for facts in READABLE.values() for digest in (facts["digest"], *facts["blobs"])}
    assert scrubbed["files"] >= len(blobs)
    assert scrubbed["damaged"] == []


def test_decisions_hold(mirror: Mirror) -> None:
    listed = json.loads(mirror.command("admission", "ls", "--all", "--json").stdout)
    decided = {
        f"{one['name']}:{tag}": (one["state"], one["decided_by"], one["note"]) for one in listed for tag in one["tags"]
    }
    asked = {name: value for name, value in decided.items() if value[0] != "admitted"}
    assert asked == {
        "acme/network:held": ("held", None, None),
        "acme/network:approved": ("approved", "anna", "ticket 1"),
        "acme/network:rejected": ("rejected", "ben", "wants too much"),
    }
    assert decided.keys() == FACTS["tags"].keys() - {"acme/driver:all"}  # an index is no plugin


def test_a_user_and_a_token_log_in(mirror: Mirror) -> None:
    def status(secret: str) -> int:
        login = b64encode(f"anna:{secret}".encode()).decode()
        request = urllib.request.Request(f"{mirror.url}/v2/", headers={"Authorization": f"Basic {login}"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert [status(secret) for secret in (FACTS["password"], FACTS["token"], "another")] == [200, 200, 401]


@pytest.mark.parametrize(
    ("name", "how", "source"),
    [("site/nfs:1.0", "mirrored", "vendor/nfs"), ("hub/vendor/sshfs:latest", "pulled through", "vendor/sshfs")],
)
def test_the_origin_of_a_copy_is_known(mirror: Mirror, name: str, how: str, source: str) -> None:
    origin = json.loads(mirror.command("inspect", name, "--json").stdout)["origin"]
    assert (origin["how"], origin["upstream"], origin["repository"]) == (how, "hub", source)


def test_a_derived_copy_names_its_original(mirror: Mirror) -> None:
    derivation = json.loads(mirror.command("inspect", "site/driver:1.0", "--json").stdout)["derivation"]
    original = READABLE["acme/driver:1.0"]["digest"]
    assert (derivation["source"], derivation["original"]) == ("acme/driver", original)
    assert derivation["changes"] == {"env": {"MODE": "fast"}}


def test_the_runs_of_a_rule_are_remembered(mirror: Mirror) -> None:
    (rule,) = json.loads(mirror.command("status", "--json").stdout)["mirrors"]
    assert (rule["rule"], rule["state"], rule["tags"], len(rule["runs"])) == ("nfs", "succeeded", 2, 1)


def test_the_earlier_version_refuses_the_updated_folder(mirror: Mirror, tmp_path: Path) -> None:
    require(earlier_missing())
    archive = run(["git", "-C", str(ROOT), "archive", EARLIER, "mirror"]).stdout_bytes
    with tarfile.open(fileobj=io.BytesIO(archive)) as code:
        code.extractall(tmp_path, filter="data")
    before = (mirror.data / "catalog.sqlite").read_bytes()
    told = run(
        [PROGRAM, "ls", "--data", str(mirror.data)],
        environment=os.environ | {"PYTHONPATH": str(tmp_path)},
        folder=tmp_path,
        check=False,
    )
    refusal = (
        f"error: the catalog is at revision {HEAD}, which this version does not know: use the version that made it\n"
    )
    assert (told.exit_code, told.stderr) == (1, refusal)
    assert (mirror.data / "catalog.sqlite").read_bytes() == before
