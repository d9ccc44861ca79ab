"""The SBOM of a release names the wheel and each package of the lock, and two runs write the same bytes."""

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.release.bill_of_materials import SbomError, describe
from deploy.release.checkout import LOCK, build_wheel, read_lock
from mirror import __version__
from tests.support.release_build import build_elsewhere

ROOT = Path(__file__).parents[3]
RELEASED = datetime(2026, 11, 28, 18, 28, 40, tzinfo=UTC)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"), RELEASED)


@pytest.fixture(scope="module")
def text(wheel: Path) -> str:
    return describe(wheel, LOCK.read_text(), RELEASED)


@pytest.fixture(scope="module")
def sbom(text: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text)
    return read


def test_the_sbom_is_valid_cyclonedx(text: str, sbom: dict[str, Any]):
    assert sbom["specVersion"] == "1.6"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_root_is_the_wheel(wheel: Path, sbom: dict[str, Any]):
    root = sbom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("docker-plugin-mirror", __version__)
    assert root["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert root["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    assert sbom["metadata"]["timestamp"] == "2026-11-28T18:28:40+00:00"


def test_each_package_of_the_lock_is_a_component_with_its_hashes(sbom: dict[str, Any]):
    components = {
        each["purl"]: {found["content"] for found in each["externalReferences"][0]["hashes"]}
        for each in sbom["components"]
    }
    locked = {f"pkg:pypi/{each.name}@{each.version}": set(each.sha256) for each in read_lock(LOCK.read_text()).values()}
    assert components == locked
    assert all(locked.values())


def test_components_have_their_licence_and_requirements(sbom: dict[str, Any]):
    (aiohttp,) = (each for each in sbom["components"] if each["name"] == "aiohttp")
    assert aiohttp["licenses"] == [{"acknowledgement": "declared", "expression": "Apache-2.0 AND MIT"}]
    required = {each["ref"]: each.get("dependsOn", []) for each in sbom["dependencies"]}
    assert any(each.startswith("pkg:pypi/yarl@") for each in required[aiohttp["bom-ref"]])
    assert aiohttp["bom-ref"] in required[sbom["metadata"]["component"]["bom-ref"]]


def test_another_process_writes_the_same_bytes(wheel: Path, text: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(RELEASED.timestamp())))
    build_elsewhere(f"from deploy.release.bill_of_materials import build\nbuild(Path({str(tmp_path)!r}))")
    again, sbom = tmp_path / wheel.name, tmp_path / f"{wheel.stem}.cdx.json"
    assert again.read_bytes() == wheel.read_bytes()
    assert sbom.read_text() == text


def test_the_lock_has_the_versions_of_the_constraints_and_a_hash_for_each():
    lock = LOCK.read_text()
    locked = {f"{each.name}=={each.version}" for each in read_lock(lock).values() if each.sha256}
    constraints = {line.lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert len(locked) == lock.count("==")
    assert locked - constraints == set()


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ("# yarl==", "aiohttp requires yarl, which requirements.lock lacks; fix: make lock"),
        ("yarl==0.", "yarl is 0."),
        ("no-such-package==1\nyarl==", "no-such-package is not installed; fix: make lock"),
        (
            f"iniconfig=={version('iniconfig')}\nyarl==",
            "requirements.lock has iniconfig, which nothing requires; fix: make lock",
        ),
    ],
)
def test_a_lock_that_does_not_fit_is_refused(instead: str, message: str, wheel: Path):
    lock = LOCK.read_text()
    assert lock.count("\nyarl==") == 1
    with pytest.raises(SbomError, match=message):
        describe(wheel, lock.replace("\nyarl==", f"\n{instead}"), RELEASED)
