from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci import Reference
from mirror.oci.errors import ConfigurationFault
from mirror.wire.registry_url import RegistryUrl, registry_host


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://hub.example", RegistryUrl("https", "hub.example")),
        ("https://hub.example/", RegistryUrl("https", "hub.example")),
        ("http://hub.example:5000", RegistryUrl("http", "hub.example:5000")),
        ("https://[2001:db8::1]:5000", RegistryUrl("https", "[2001:db8::1]:5000")),
        ("https://nexus.example/repository/docker/", RegistryUrl("https", "nexus.example", "/repository/docker")),
        ("https://nexus.example/v2/docker", RegistryUrl("https", "nexus.example", "/v2/docker")),
        ("https://nexus.example/a%20b", RegistryUrl("https", "nexus.example", "/a%20b")),
    ],
)
def test_urls_of_registries(text: str, url: RegistryUrl) -> None:
    assert RegistryUrl.parse(text) == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "write https://HOST"),
        ("hub.example", "write https://HOST"),
        ("ftp://hub.example", "write https://HOST"),
        ("https://", "write https://HOST"),
        ("https:///path", "write https://HOST"),
        ("https://[::1", "write https://HOST"),
        ("https://hub.example:99999", "write https://HOST"),
        ("https://hub.example:0", "write https://HOST"),
        ("https://hub example", "write https://HOST"),
        ("https://hub.example\\evil", "write https://HOST"),
        ("https://hub.example?x=1", "write https://HOST"),
        ("https://hub.example/?x=1", "has a query"),
        ("https://hub.example/#", "has a query"),
        ("https://hub.example/a//b", "an invalid path"),
        ("https://hub.example/../b", "an invalid path"),
        ("https://hub.example/a/./b", "an invalid path"),
        ("https://hub.example/a b", "an invalid path"),
        ("https://hub.example/%2", "an invalid path"),
        ("https://hub.example/v2/", "fix: write https://hub.example"),
        ("https://nexus.example/repository/docker/v2", "fix: write https://nexus.example/repository/docker"),
        ("https://index.docker.io/v1/", "fix: write https://registry-1.docker.io"),
    ],
)
def test_what_is_no_url_of_a_registry(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        RegistryUrl.parse(text)
    assert problem in str(raised.value)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ConfigurationFault) as raised:
        RegistryUrl.parse("https://jimmy:s3cret@hub.example/x")
    assert "s3cret" not in str(raised.value)
    assert "set credentials" in str(raised.value)


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io:443", "Docker.io"])
def test_docker_hub_has_one_registry(host: str) -> None:
    url = RegistryUrl.parse(f"https://{host}/")
    assert (url.is_docker_hub, url.origin, url.place) == (True, "https://registry-1.docker.io", "registry-1.docker.io")
    assert url.is_at("docker.io")


def test_the_place_of_a_login_has_the_path() -> None:
    assert RegistryUrl.parse("https://hub.example:5000/a/b/").place == "hub.example:5000/a/b"


@pytest.mark.parametrize(
    ("url", "host", "found"),
    [
        ("https://hub.example", "hub.example", True),
        ("https://hub.example:5000", "hub.example:5000", True),
        ("https://hub.example", "hub.example:5000", False),
        ("https://hub.example/path", "hub.example", False),
        ("https://hub.example", "docker.io", False),
        ("https://registry-1.docker.io", "index.docker.io", True),
    ],
)
def test_a_reference_names_the_root_of_a_host(url: str, host: str, found: bool) -> None:
    assert RegistryUrl.parse(url).is_at(host) is found


_PIECES = st.sampled_from(
    [
        "http://",
        "https://",
        "//",
        "/",
        "[",
        "::1",
        "]",
        "@",
        ":",
        "99999",
        "..",
        ".",
        "%zz",
        "%2e",
        "\\",
        "\0",
        "?",
        "#",
    ]
)


@given(st.lists(_PIECES | st.text(max_size=5) | st.just("hub.example"), max_size=8).map("".join))
def test_any_text_is_one_url_or_none(text: str) -> None:
    with suppress(ConfigurationFault):
        url = RegistryUrl.parse(text)
        assert RegistryUrl.parse(str(url)) == url
        assert not url.path or url.path.startswith("/")
        assert not url.path.endswith("/")
        assert not any(part in {"", ".", ".."} for part in url.path.split("/")[1:])
        assert not set(str(url)) & set("?#@\\ \0")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("vieux/sshfs", "registry-1.docker.io"),
        ("docker.io/vieux/sshfs:1", "registry-1.docker.io"),
        ("index.docker.io/vieux/sshfs", "registry-1.docker.io"),
        ("ghcr.io/acme/driver:2.1", "ghcr.io"),
        ("mirror:5000/acme/driver", "mirror:5000"),
    ],
)
def test_a_name_without_a_host_is_one_of_docker_hub(text: str, host: str):
    assert registry_host(Reference.parse(text)) == host
