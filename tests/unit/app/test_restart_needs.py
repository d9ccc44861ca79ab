"""Settings that can change while a server runs, and those that wait for a restart."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mirror.app.configuration.restart_needs import usable_now
from mirror.oci.errors import ConfigurationFault
from mirror.settings import Settings, load

TLS = {"certificate": "server.crt", "key": "server.key"}
OTHER_TLS = {"certificate": "other.crt", "key": "other.key", "client_ca": "clients.crt"}
LOCAL_PLAIN = {"listen": "127.0.0.1:5080"}


def settings(**sections: Any) -> Settings:
    return load(flags=sections)


@pytest.mark.parametrize(
    ("before", "after", "waiting"),
    [
        ({}, {"server": {"listen": "127.0.0.1:5001"}}, ("server.listen",)),
        ({}, {"server": {"workers": 2, "read_only": True}}, ("server.workers", "server.read_only")),
        ({}, {"storage": {"path": "elsewhere"}}, ("storage.path",)),
        ({}, {"storage": {"blobs": {"url": "s3://plugins/site"}}}, ("storage.blobs",)),
        ({}, {"log": {"format": "json", "level": "debug"}}, ("log.format",)),
        ({}, {"server": {"tls": TLS}}, ("server.tls",)),
        ({"server": {"tls": TLS}}, {}, ("server.tls",)),
        ({"server": {"tls": TLS}}, {"server": {"tls": TLS, "plain": LOCAL_PLAIN}}, ("server.plain",)),
        ({"server": {"tls": TLS, "plain": LOCAL_PLAIN}}, {"server": {"tls": TLS}}, ("server.plain",)),
    ],
)
def test_what_waits_for_a_restart_keeps_its_value(
    before: dict[str, Any], after: dict[str, Any], waiting: tuple[str, ...]
) -> None:
    running = settings(**before)
    usable, names = usable_now(settings(**after), running, running)
    assert names == waiting
    for name in names:
        section, _, key = name.partition(".")
        assert getattr(getattr(usable, section), key) == getattr(getattr(running, section), key)


def test_everything_else_changes() -> None:
    running = settings(server={"tls": TLS, "plain": LOCAL_PLAIN})
    wanted = settings(
        server={
            "tls": OTHER_TLS,
            "plain": {**LOCAL_PLAIN, "networks": ["10.0.0.0/8"]},
            "limits": {"connections": 7},
            "reserved": ["acme/**"],
            "anonymous": ["pull"],
        },
        storage={"least_free_bytes": 1, "upload_expiry_hours": 2},
        log={"level": "debug"},
        upstreams={"hub": {"url": "https://registry-1.docker.io", "proxy": "http://me:sesame@proxy:3128"}},
        mirrors=[{"name": "one", "from": "hub/acme/one", "to": "one", "every": "6h"}],
        proxy=[{"from": "hub/**", "to": "hub/**"}],
        access=[{"users": ["anna"], "repositories": ["**"], "actions": ["push"]}],
        groups={"deployers": ["anna"]},
        quotas=[{"pattern": "**", "tags": 9}],
    )
    assert usable_now(wanted, running, running) == (wanted, ())


def test_a_right_that_would_be_dangerous_at_the_address_in_use_is_refused() -> None:
    # On a loopback address, callers without a login may push unless the configuration says otherwise.
    running = settings(server={"listen": "0.0.0.0:5000", "anonymous": ["pull"]})
    with pytest.raises(
        ConfigurationFault, match=r"not as long as server\.listen cannot change: 0\.0\.0\.0:5000 can be"
    ):
        usable_now(settings(), running, running)


def test_a_server_for_a_bundle_stays_read_only_and_asks_no_upstream() -> None:
    configured = settings()
    running = configured.model_copy(
        update={
            "server": configured.server.model_copy(update={"read_only": True}),
            "storage": configured.storage.model_copy(update={"path": Path("/tmp/made")}),
            "offline": True,
        }
    )
    usable, waiting = usable_now(settings(log={"level": "debug"}), configured, running)
    assert (usable.server.read_only, usable.storage.path, usable.offline, waiting) == (
        True,
        Path("/tmp/made"),
        True,
        (),
    )


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[3] / "config").glob("[!h]*.yaml")), ids=lambda f: f.stem
)
def test_a_parent_can_send_settings_to_its_workers(file: Path) -> None:
    sent = load(file)
    assert pickle.loads(pickle.dumps(sent)) == sent
    assert usable_now(sent, sent, sent) == (sent, ())
