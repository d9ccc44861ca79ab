"""Files of an engine, with all the ways in which they can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.hosts.insecure_registries import how_to_allow_http, is_network, may_use_http
from mirror.hosts.route.docker_files import (
    DOCKER_FOLDER,
    DaemonFile,
    RegistryMirror,
    docker_folder,
    read_daemon_file,
    read_trust_folder,
)
from mirror.hosts.route.route_facts import RegistryPlace
from mirror.oci.errors import NameInvalid


@pytest.mark.parametrize(
    ("content", "insecure", "problem"),
    [
        ('{"insecure-registries": ["m:5000", "10.0.0.0/8", "http://n:5000"]}', ("m:5000", "10.0.0.0/8", "n:5000"), ""),
        ("", (), ""),
        ("{}", (), ""),
        ('{"insecure-registries": ["m:5000"],}', (), "is not JSON: look at line 1, column 36"),
        ("[]", (), "is not a JSON object"),
        ('{"insecure-registries": "m:5000"}', (), "has insecure-registries that are not a list of texts"),
        ('{"insecure-registries": null, "registry-mirrors": null}', (), ""),
    ],
)
def test_daemon_json(content: str, insecure: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text(content)
    found = read_daemon_file(tmp_path)
    assert (found.insecure, found.problem) == (insecure, problem)


def test_registry_mirrors(tmp_path: Path) -> None:
    entries = ["http://m:5000", "https://n", "HTTP://o:5000/", "https://[::1]:5000/path"]
    (tmp_path / "daemon.json").write_text(json.dumps({"registry-mirrors": entries}))
    assert read_daemon_file(tmp_path).mirrors == (
        RegistryMirror("m:5000", is_plain=True),
        RegistryMirror("n"),
        RegistryMirror("o:5000", is_plain=True),
        RegistryMirror("[::1]:5000"),
    )


@pytest.mark.parametrize(
    "entry",
    ["", "m:5000", "ht!tp://", "ftp://m", "http://a b", "https://user:S3cret@m", "http://m/?token=S3cret", "http://"],
)
def test_an_engine_does_not_start_with_another_registry_mirror(entry: str, tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text(json.dumps({"registry-mirrors": ["http://m", entry]}))
    found = read_daemon_file(tmp_path)
    assert found.problem == "has registry-mirrors whose entry 2 is not https://HOST[:PORT] or http://HOST[:PORT]"
    assert found.mirrors == ()


def test_a_missing_daemon_json_is_no_problem(tmp_path: Path) -> None:
    assert read_daemon_file(tmp_path) == DaemonFile(tmp_path / "daemon.json")
    (tmp_path / "daemon.json").mkdir()
    assert "Is a directory" in read_daemon_file(tmp_path).problem


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_any_content_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("docker")
    (folder / "daemon.json").write_bytes(content)
    found = read_daemon_file(folder)
    assert not (found.problem and found.insecure)
    assert set(found.insecure) == set(found.insecure_hosts) | (set(found.insecure_networks) - {"127.0.0.0/8"})


def test_the_folder_of_certificates(tmp_path: Path) -> None:
    assert read_trust_folder(tmp_path, "m:5000").authorities == ()
    folder = tmp_path / "certs.d/m:5000"
    folder.mkdir(parents=True)
    for name in ("ca.crt", "b.crt", "client.cert", "client.key", "notes.txt"):
        (folder / name).touch()
    found = read_trust_folder(tmp_path, "m:5000")
    assert found.authorities == (folder / "b.crt", folder / "ca.crt")
    assert found.clients == ((folder / "client.cert", folder / "client.key"),)
    assert found.problem == ""


@pytest.mark.parametrize(
    ("name", "told"), [("a.cert", "has no key a.key beside it"), ("a.key", "has no certificate a.cert beside it")]
)
def test_half_a_pair_is_a_problem(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "certs.d/m").mkdir(parents=True)
    (tmp_path / "certs.d/m" / name).touch()
    assert read_trust_folder(tmp_path, "m").problem == f"{tmp_path}/certs.d/m/{name} {told}"


def test_an_engine_without_root_has_its_files_at_home() -> None:
    assert docker_folder({}, rootless=False) == DOCKER_FOLDER
    assert docker_folder({"XDG_CONFIG_HOME": "/home/a/c"}, rootless=True) == Path("/home/a/c/docker")


@pytest.mark.parametrize(
    ("entry", "network"), [("10.0.0.0/8", True), ("fd00::/8", True), ("m:5000", False), ("10.0.0.1", False)]
)
def test_an_entry_is_a_network_or_a_registry(entry: str, network: bool) -> None:
    assert is_network(entry) is network


def test_the_whole_list_is_named() -> None:
    daemon = DaemonFile(Path("/etc/docker/daemon.json"), ("m:5000", "10.0.0.0/8"))
    assert may_use_http(daemon, "m:5000", ())
    assert may_use_http(daemon, "n:5000", ("127.0.0.1",))
    assert not may_use_http(daemon, "n:5000", ("192.0.2.1",))
    assert '{"insecure-registries": ["m:5000", "10.0.0.0/8", "n:5000"]}' in how_to_allow_http(daemon, "n:5000")


@given(st.text(max_size=60) | st.from_regex(r"[a-z.\[\]:0-9]{1,30}", fullmatch=True))
def test_any_text_is_a_registry_or_refused(text: str) -> None:
    try:
        place = RegistryPlace.parse(text)
    except NameInvalid:
        return
    assert place.authority == text
    assert place.name
    assert place.port is None or 0 < place.port < 65536
