"""The script that lets a host trust the CA."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.access.certificates.certificate_authority import CertificateAuthority, new_key
from mirror.access.certificates.host_setup import MirrorAddress, host_setup_script, script_hash
from mirror.access.certificates.pem_files import certificates_pem
from mirror.oci.errors import ConfigurationFault
from tests.support.clocks import START
from tests.support.local_ca import names

CA = [CertificateAuthority.for_servers(new_key(), names("mirror.example"), START).certificate]


def run(script: bytes, certs_d: Path) -> str:
    environment = os.environ | {"CERTS_D": str(certs_d)}
    done = subprocess.run(["sh"], input=script, env=environment, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("mirror.example:5000", ["mirror.example:5000"]),
        ("Mirror.Example:05000", ["mirror.example:5000"]),
        ("10.1.2.3:5000", ["10.1.2.3:5000"]),
        ("[2001:db8::7]:5000", ["[2001:db8::7]:5000"]),
        ("mirror.example", ["mirror.example", "mirror.example:443"]),
        ("mirror.example:443", ["mirror.example", "mirror.example:443"]),
        ("[::1]", ["[::1]", "[::1]:443"]),
    ],
)
def test_the_certificate_is_where_engines_look(text: str, folders: list[str], tmp_path: Path) -> None:
    certs_d = tmp_path / "new folder/certs.d"
    script = host_setup_script(MirrorAddress.parse(text), CA)
    told = run(script, certs_d)
    assert told == "".join(f"{certs_d}/{folder}/ca.crt is in place\n" for folder in folders)
    found = {path.relative_to(certs_d): path.read_bytes() for path in certs_d.rglob("*") if path.is_file()}
    assert found == {Path(folder, "ca.crt"): certificates_pem(CA) for folder in folders}
    assert {stat.S_IMODE(path.stat().st_mode) for path in certs_d.rglob("ca.crt")} == {0o644}


def test_the_script_runs_again_and_leaves_other_files(tmp_path: Path) -> None:
    script = host_setup_script(MirrorAddress.parse("mirror.example:5000"), CA)
    run(script, tmp_path)
    folder = tmp_path / "mirror.example:5000"
    (folder / "ca.crt").write_bytes(b"another")
    (folder / "client.cert").write_bytes(b"mine")
    run(script, tmp_path)
    assert (folder / "ca.crt").read_bytes() == certificates_pem(CA)
    assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "client.cert"]


def test_a_script_that_fails_says_so_and_keeps_the_former_certificate(tmp_path: Path) -> None:
    (tmp_path / "mirror.example:5000/ca.crt.new").mkdir(parents=True)
    (tmp_path / "mirror.example:5000/ca.crt").write_bytes(b"former")
    script = host_setup_script(MirrorAddress.parse("mirror.example:5000"), CA)
    environment = os.environ | {"CERTS_D": str(tmp_path)}
    done = subprocess.run(["sh"], input=script, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode != 0
    assert (tmp_path / "mirror.example:5000/ca.crt").read_bytes() == b"former"


def test_equal_arguments_give_equal_scripts() -> None:
    one, same = (host_setup_script(MirrorAddress.parse(text), CA) for text in ("mirror:443", "MIRROR"))
    other = host_setup_script(MirrorAddress.parse("mirror:5000"), CA)
    assert script_hash(one) == script_hash(same) != script_hash(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5000",
        "mirror:",
        "mirror:0",
        "mirror:65536",
        "mirror:x",
        "a:1:2",
        "2001:db8::7",
        "[10.1.2.3]:1",
        "[x]:1",
        "..",
        "../..",
        "a/b:1",
        "$(id)",
        "a;b:1",
        "a b",
        "a\n",
        "a'b",
        'a"b',
        "https://mirror",
        "user@mirror:1",
        "[::1]x",
        "*",
    ],
)
def test_a_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationFault, match=r"is not HOST:PORT; fix: "):
        MirrorAddress.parse(text)


@given(st.text(st.characters(codec="ascii"), max_size=60) | st.text(max_size=20))
def test_no_address_can_leave_its_quotes(text: str) -> None:
    try:
        address = MirrorAddress.parse(text)
    except ConfigurationFault as error:
        assert "\n" not in str(error)
    else:
        assert set("".join(address.folders)) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-:[]")
        assert not {".", ".."} & set(address.folders)
        assert MirrorAddress.parse(str(address)) == address
