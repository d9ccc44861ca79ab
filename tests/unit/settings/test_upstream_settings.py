"""The section ``upstreams``, and the upstream policies that result."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror.app import upstream_registries
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load
from mirror.upstream.short_name_registry import ShortNameRegistry


def written(folder: Path, text: str, url: str = "https://hub.example") -> Settings:
    path = folder / "mirror.yaml"
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    path.write_text(f"upstreams:\n  hub:\n    url: {url}\n{lines}\n")
    return load(path, {"storage": {"path": str(folder / "data")}})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("proxy: ftp://proxy.example", "upstreams.hub.proxy: is not the URL of a proxy (ftp://proxy.example)"),
        ("limits: {connections: 1}", "upstreams.hub.limits.connections: is too small (1), fix: write 2 or more"),
        ("limits: {requests_per_second: 0}", "greater than 0"),
        ("limits: {list_entries: 10}", "write 1000 or more"),
        ("limits: {bandwidth: [{bytes_per_second: 10}]}", "write 1024 or more"),
        ("limits: {bandwidth: [{bytes_per_second: 2 parsecs}]}", "has an unknown unit (2 parsecs)"),
        ('limits: {bandwidth: [{bytes_per_second: 2MiB, from: "08:00"}]}', "give both from and to, or neither"),
        ("limits: {bandwidth: [{bytes_per_second: 2MiB, from: 9:00, to: 18:00}]}", "write HH:MM, such as 08:00"),
        ('limits: {bandwidth: [{bytes_per_second: 2MiB, from: "18:00", to: "18:00"}]}', "from and to are the same"),
        (
            'limits: {bandwidth: [{bytes_per_second: 2MiB, from: "08:00Z", to: "18:00Z"}]}',
            "is not a time of day (08:00Z)",
        ),
        ("limits: {time_zone: Middle-earth/Shire}", "no time zone has this name (Middle-earth/Shire)"),
        ("limits: {time_zone: ../../etc/passwd}", "no time zone has this name"),
        ("tls: {key_file: key.pem}", "upstreams.hub.tls.key_file: there is no certificate for this key"),
        ("tls: {verify: false}", "unknown key"),
        ("breaker: {failures: 0}", "write 1 or more"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        written(tmp_path, text)
    assert problem in str(raised.value)


def test_the_password_of_a_proxy_is_not_shown(tmp_path: Path) -> None:
    settings = written(tmp_path, "proxy: http://jimmy:passw0rd@proxy.example:3128")
    assert settings.shown()["upstreams"]["hub"]["proxy"] == "http://(hidden)@proxy.example:3128"
    assert settings.upstreams["hub"].proxy == "http://jimmy:passw0rd@proxy.example:3128"


def test_offline_for_one_or_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not written(tmp_path, "").offline
    assert written(tmp_path, "offline: true").upstreams["hub"].offline
    monkeypatch.setenv("PLUGIN_MIRROR_OFFLINE", "true")
    assert written(tmp_path, "").offline


async def test_what_is_written_is_what_the_client_gets(tmp_path: Path) -> None:
    text = """\
offline: true
limits:
  connections: 8
  requests_per_second: 5
  list_entries: 500000
  time_zone: Europe/Berlin
  bandwidth:
    - {from: "08:00", to: "18:00", bytes_per_second: 2MiB}
    - {bytes_per_second: 10MiB}
breaker: {failures: 2, rest_seconds: 1, longest_rest_seconds: 9}"""
    settings = written(tmp_path, text)
    terms = upstream_registries._policy(settings, settings.upstreams["hub"])
    assert terms.offline
    assert (terms.limits.connections, terms.limits.requests_per_second) == (8, 5)
    assert (terms.lists.entries, terms.lists.pages) == (500_000, 10_000)
    assert str(terms.limits.zone) == "Europe/Berlin"
    assert [window.bytes_per_second for window in terms.limits.bandwidth] == [2 * 1024**2, 10 * 1024**2]
    assert (terms.thresholds.failures, terms.thresholds.longest_rest_seconds) == (2, 9)
    (tmp_path / "data").mkdir()  # limits are shared through a data folder that exists
    async with upstream_registries.open_upstream(settings, "hub") as upstream:
        assert upstream.stats().offline
    assert {path.name for path in (tmp_path / "data" / "limits").iterdir()} == {"hub.requests", "hub.bytes"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tls: {ca_file: absent.pem}", "ca_file absent.pem cannot be used"),
        ("credentials: {docker_config: absent.json}", "absent.json cannot be read"),
        ("credentials: {username: jimmy, password_file: absent}", "absent cannot be read"),
    ],
)
async def test_files_that_are_not_there_are_told_before_anything_is_asked(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ConfigurationFault, match=problem):
        async with upstream_registries.open_upstream(written(tmp_path, text), "hub"):
            pass


@pytest.mark.parametrize(
    ("url", "text", "short"),
    [
        ("https://registry-1.docker.io", "", True),
        ("https://docker.io", "", True),
        ("https://hub.example", "", False),
        ("https://hub.example", "short_names: true", True),
        ("https://registry-1.docker.io", "short_names: false", False),
    ],
)
async def test_short_names_are_those_of_docker_hub(tmp_path: Path, url: str, text: str, *, short: bool) -> None:
    settings = written(tmp_path, text, url=url)
    async with upstream_registries.open_upstream(settings, "hub") as upstream:
        assert isinstance(upstream, ShortNameRegistry) is short


async def test_a_reference_to_docker_hub_uses_its_upstream(tmp_path: Path) -> None:
    settings = written(tmp_path, "offline: true", url="https://registry-1.docker.io")
    for host in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        async with upstream_registries.open_remote(settings, host) as upstream:
            assert upstream.stats().offline
    async with upstream_registries.open_remote(settings, "other.example") as upstream:
        assert not upstream.stats().offline


async def test_a_registry_below_a_path_is_not_that_of_its_host(tmp_path: Path) -> None:
    settings = written(tmp_path, "offline: true", url="https://nexus.example/repository/docker")
    async with upstream_registries.open_remote(settings, "nexus.example") as upstream:
        assert not upstream.stats().offline


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://hub.example/v2/", "fix: write https://hub.example"),
        ("https://index.docker.io/v1/", "fix: write https://registry-1.docker.io"),
        ("https://jimmy:s3cret@hub.example", "set credentials"),
        ("hub.example", "fix: write https://HOST"),
    ],
)
def test_a_wrong_url_is_explained(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(ConfigurationFault) as raised:
        written(tmp_path, "", url=url)
    assert "upstreams.hub.url: " in str(raised.value)
    assert problem in str(raised.value)
    assert "s3cret" not in str(raised.value)
