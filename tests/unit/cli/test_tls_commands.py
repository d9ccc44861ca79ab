"""``tls``."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from mirror.access.certificates.certificate_folder import CertificateFolder
from mirror.access.certificates.certificate_names import CertificateNames
from mirror.access.certificates.client_issuing import issue_client_certificate
from mirror.access.certificates.pem_files import read_revocation_lists
from mirror.cli.command_line import run
from mirror.cli.tls import tls_init_command
from mirror.settings import load
from tests.support.local_ca import leaf, made, matches, names, now

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def tls(tmp_path: Path) -> CertificateFolder:
    return CertificateFolder(tmp_path / "data/tls")


def one_error(capsys: Captured) -> str:
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert told.out == ""
    assert line.startswith("error: ")
    assert "; fix: " in line
    return line


def configured(tmp_path: Path, **server: object) -> str:
    """Write the lines that ``tls init`` prints into a configuration."""
    files = tls(tmp_path).server
    section = {key: str(getattr(files, key)) for key in ("certificate", "key", "ca", "ca_key")}
    sections = {
        "server": {"tls": section, "anonymous": ["pull"], **server},
        "storage": {"path": str(tmp_path / "data")},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(sections))
    return "--config=config.yaml"


def test_init_prints_the_section_to_paste(tmp_path: Path, capsys: Captured) -> None:
    assert run(["tls", "init", "--san", "mirror.example", "--san", "10.1.2.3"]) == 0
    told = capsys.readouterr()
    assert matches(tls(tmp_path).server)
    assert CertificateNames.of(leaf(tls(tmp_path).server)) == names("mirror.example", "10.1.2.3")
    (tmp_path / "config.yaml").write_text(told.out)
    section = load(tmp_path / "config.yaml").server.tls
    assert section is not None
    files = tls(tmp_path).server
    assert (section.certificate, section.key, section.ca, section.ca_key) == (
        files.certificate,
        files.key,
        files.ca,
        files.ca_key,
    )
    assert "plugin-mirror tls host-setup --config FILE" in told.err
    assert run(["tls", "init", "--san", "mirror.example"]) == 2
    assert "server.crt exists, and is not overwritten" in one_error(capsys)


def test_init_without_names_takes_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_init_command.socket, "getfqdn", lambda: "vm1.site.example")
    monkeypatch.setattr(tls_init_command.socket, "gethostname", lambda: "under_score")
    assert run(["tls", "init", "--out", "here"]) == 0
    assert CertificateNames.of(leaf(CertificateFolder(tmp_path / "here").server)) == names("vm1.site.example")


@pytest.mark.parametrize("name", ["mirror.example:5000", "https://mirror.example", "*.example", ""])
def test_a_wrong_name_makes_nothing(name: str, tmp_path: Path, capsys: Captured) -> None:
    assert run(["tls", "init", "--san", name]) == 2
    assert "is neither a host name nor an IP address" in one_error(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(capsys: Captured) -> None:
    Path("data").touch()
    assert run(["tls", "init", "--san", "a"]) == 5
    assert "cannot create " in one_error(capsys)


def test_renew_replaces_the_certificate_alone(tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root)
    before = {path: path.read_bytes() for path in tls(tmp_path).root.iterdir()}
    for arguments in ([], ["--out", "data/tls"], [configured(tmp_path)]):
        assert run(["tls", "renew", *arguments]) == 0
        told = capsys.readouterr().out
        assert told.startswith(f"{tls(tmp_path).server.certificate}: valid for mirror.example, ")
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {"server.crt"}
    assert run(["tls", "renew", "--san", "sub.mirror.example"]) == 0
    assert CertificateNames.of(leaf(tls(tmp_path).server)) == names("sub.mirror.example")
    capsys.readouterr()
    assert run(["tls", "renew", "--san", "other.example"]) == 2
    assert "the CA permits no certificate for other.example" in one_error(capsys)


def test_a_certificate_of_another_program_is_not_renewed(tmp_path: Path, capsys: Captured) -> None:
    files = made(tls(tmp_path).root).server
    section = {"certificate": str(files.certificate), "key": str(files.key)}
    assert run(["tls", "renew", configured(tmp_path, tls=section)]) == 2
    assert "is renewed by the program that made it" in one_error(capsys)


def test_a_client_is_made_and_revoked(tmp_path: Path, capsys: Captured) -> None:
    assert run(["tls", "client", "host-12", "--days", "30"]) == 0
    certificate, key = tls(tmp_path).client("host-12")
    paths, _, section = capsys.readouterr().out.partition("server:")
    assert paths.splitlines() == [str(certificate), str(key)]
    assert yaml.safe_load(f"server:{section}") == {
        "server": {"tls": {"client_ca": str(tls(tmp_path).client_ca), "client_crl": str(tls(tmp_path).client_crl)}}
    }
    assert run(["tls", "client", "host-12"]) == 2
    assert "fix: revoke it with 'plugin-mirror tls revoke host-12'" in one_error(capsys)
    moved = tmp_path / "moved.cert"
    certificate.rename(moved)
    assert run(["tls", "client", "host-12"]) == 0
    for name in ("host-12", str(moved), "moved.cert"):
        assert run(["tls", "revoke", name]) == 0
    assert "moved.cert was revoked before" in capsys.readouterr().err
    assert len(read_revocation_lists(tls(tmp_path).client_crl)[0]) == 2
    assert run(["tls", "revoke", "host-13"]) == 2
    assert "there is no certificate of a client host-13" in one_error(capsys)


def test_the_lines_for_clients_are_printed_until_they_are_in_the_configuration(
    tmp_path: Path, capsys: Captured
) -> None:
    files = made(tls(tmp_path).root).server
    section = {key: str(getattr(files, key)) for key in ("certificate", "key", "ca", "ca_key")}
    assert run(["tls", "client", "a", configured(tmp_path)]) == 0
    assert "client_ca:" in capsys.readouterr().out
    both = {"client_ca": str(tls(tmp_path).client_ca), "client_crl": str(tls(tmp_path).client_crl)}
    assert run(["tls", "client", "b", configured(tmp_path, tls=section | both)]) == 0
    assert "client_ca:" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../ca", "a b", ""])
def test_a_wrong_name_of_a_client_is_one_line(name: str, capsys: Captured) -> None:
    assert run(["tls", "client", name]) == 2
    assert "cannot be the name of a client" in one_error(capsys)


def test_show_tells_what_is_valid(tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root)
    assert run(["tls", "show"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == [
        f"certificate: {tls(tmp_path).server.certificate}",
        "  mirror.example, issued by plugin-mirror CA mirror.example",
        "  for mirror.example, localhost, 10.1.2.3, 127.0.0.1, ::1",
    ]
    assert shown[3].startswith("  valid: expires ")
    assert shown[3].endswith(", in 90 d")
    assert run(["tls", "show", "--json", configured(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["kind"], [one["state"] for one in each["content"]]) for each in told] == [
        ("certificate", ["valid"]),
        ("ca", ["valid"]),
        ("key", []),
        ("ca_key", []),
    ]


@pytest.mark.parametrize(("days", "state"), [(61, "expires soon: expires "), (91, "expired: expired ")])
def test_show_fails_before_a_certificate_expires(days: int, state: str, tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root, ago=timedelta(days=days))
    assert run(["tls", "show"]) == 1
    assert state in capsys.readouterr().out


def test_show_fails_for_a_file_that_cannot_be_used(tmp_path: Path, capsys: Captured) -> None:
    files = made(tls(tmp_path).root).server
    files.key.write_bytes(b"x")
    assert run(["tls", "show"]) == 1
    assert f"  fault: {files.key} has no private key in PEM format; fix: " in capsys.readouterr().out


def test_show_fails_before_the_certificate_of_a_client_expires(tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root)
    begin = now() - timedelta(days=2, hours=12)
    issue_client_certificate(tls(tmp_path), "host-12", timedelta(days=300), begin)
    assert run(["tls", "show"]) == 0
    tls(tmp_path).client("host-12")[0].unlink()
    issue_client_certificate(tls(tmp_path), "host-12", timedelta(days=3), begin)
    assert run(["tls", "show"]) == 1
    assert "\n  host-12, issued by plugin-mirror client CA\n  expires soon: " in capsys.readouterr().out


def test_show_without_tls_is_one_line(capsys: Captured) -> None:
    assert run(["tls", "show"]) == 2
    assert "fix: make one with 'plugin-mirror tls init'" in one_error(capsys)


@pytest.mark.parametrize(
    ("server", "arguments", "folder", "url"),
    [
        ({}, [], "mirror.example:5000", "https://mirror.example:5000"),
        ({"listen": "127.0.0.1:5443"}, [], "mirror.example:5443", "https://mirror.example:5443"),
        ({"url": "https://mirror.example/registry"}, [], "mirror.example", "https://mirror.example/registry"),
        ({}, ["10.1.2.3:443"], "10.1.2.3", "https://10.1.2.3"),
    ],
)
def test_host_setup_prints_a_script_and_the_way_to_get_it_from_the_server(
    server: dict[str, object], arguments: list[str], folder: str, url: str, tmp_path: Path, capsys: Captured
) -> None:
    files = made(tls(tmp_path).root).server
    assert run(["tls", "host-setup", *arguments, configured(tmp_path, **server)]) == 0
    told = capsys.readouterr()
    certs_d = tmp_path / "certs.d"
    environment = os.environ | {"CERTS_D": str(certs_d)}
    subprocess.run(["sh"], input=told.out, env=environment, text=True, check=True, timeout=60, stdout=subprocess.PIPE)
    assert (certs_d / folder / "ca.crt").read_bytes() == files.ca.read_bytes()
    heading, fetch, check = told.err.splitlines()
    assert heading.startswith("this script is served too")
    assert shlex.split(fetch) == ["curl", "-fsSk", f"{url}/host-setup.sh", "-o", "host-setup.sh"]
    digest = hashlib.sha256(told.out.encode()).hexdigest()
    assert check == f"  echo '{digest}  host-setup.sh' | sha256sum -c && sudo sh host-setup.sh"


@pytest.mark.parametrize(
    ("url", "address", "offered"),
    [
        ("https://mirror.example", "mirror.example:5000", "mirror.example"),
        ("http://mirror.example", "mirror.example:443", "mirror.example:5000"),
    ],
)
def test_host_setup_prints_no_command_that_cannot_work(
    url: str, address: str, offered: str, tmp_path: Path, capsys: Captured
) -> None:
    made(tls(tmp_path).root)
    assert run(["tls", "host-setup", address, configured(tmp_path, url=url)]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("#!/bin/sh")
    assert " ".join(told.err.split()).startswith(
        f"the server offers the script for {offered} only, because of server.url"
    )
    assert "curl" not in told.err


def test_clients_stay_with_their_ca_when_the_server_has_another_one(tmp_path: Path, capsys: Captured) -> None:
    clients = made(tmp_path / "clients")
    issue_client_certificate(clients, "host-1", timedelta(days=9), now())
    files = made(tmp_path / "new").server
    section = {key: str(getattr(files, key)) for key in ("certificate", "key", "ca", "ca_key")}
    section |= {"client_ca": str(clients.client_ca), "client_crl": str(clients.client_crl)}
    config = configured(tmp_path, tls=section)
    assert run(["tls", "client", "host-2", config]) == 0
    assert capsys.readouterr().out.splitlines() == [str(path) for path in clients.client("host-2")]
    assert run(["tls", "revoke", "host-1", config]) == 0
    assert len(read_revocation_lists(clients.client_crl)[0]) == 1
    assert not (tmp_path / "new/client-ca.crt").exists()


def test_what_is_made_is_told_as_json(tmp_path: Path, capsys: Captured) -> None:
    def told(*command: str) -> dict[str, object]:
        assert run(["tls", *command, "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    folder = tls(tmp_path)
    files, everything = folder.server, ["mirror.example", "localhost", "127.0.0.1", "::1"]
    assert told("init", "--san", "mirror.example") == {
        "certificate": str(files.certificate),
        "key": str(files.key),
        "ca": str(files.ca),
        "ca_key": str(files.ca_key),
        "names": everything,
    }
    renewed = told("renew")
    assert renewed["certificate"] == str(files.certificate)
    assert renewed["names"] == everything
    certificate, key = folder.client("host-1")
    assert told("client", "host-1") == {
        "certificate": str(certificate),
        "key": str(key),
        "client_ca": str(folder.client_ca),
        "client_crl": str(folder.client_crl),
    }


def test_host_setup_as_json(tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root)
    assert run(["tls", "host-setup", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["address"] == "mirror.example:5000"
    assert told["sha256"] == hashlib.sha256(told["script"].encode()).hexdigest()
    assert len(told["commands"]) == 2


def test_host_setup_warns_of_a_name_that_the_certificate_lacks(tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root)
    assert run(["tls", "host-setup", "other.example:5000"]) == 0
    warning = capsys.readouterr().err.splitlines()[-1]
    assert warning.startswith("warning: the certificate is for mirror.example, ")
    assert "fix: 'plugin-mirror tls renew --san other.example'" in warning


@pytest.mark.parametrize("address", ["..", "a/b", "mirror:0", "https://mirror:5000"])
def test_a_wrong_address_is_one_line(address: str, tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root)
    assert run(["tls", "host-setup", address]) == 2
    assert "is not HOST:PORT" in one_error(capsys)


def test_host_setup_needs_a_ca(tmp_path: Path, capsys: Captured) -> None:
    files = made(tls(tmp_path).root).server
    section = {"certificate": str(files.certificate), "key": str(files.key)}
    assert run(["tls", "host-setup", configured(tmp_path, tls=section)]) == 2
    assert "server.tls.ca is not set" in one_error(capsys)


def test_renew_again_after_the_ca_has_expired_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    made(tls(tmp_path).root, ago=timedelta(days=4000))
    assert now() > leaf(tls(tmp_path).server).not_valid_after_utc
    assert run(["tls", "renew"]) == 2
    assert "the CA expired on " in one_error(capsys)
