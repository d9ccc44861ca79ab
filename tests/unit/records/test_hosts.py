"""Hosts, as derived from requests."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.records.hosts import Host
from mirror.wire.user_agent import Engine

ENGINE = Engine("26.1.5", "arm64", "linux")


@pytest.mark.parametrize(
    ("said", "address", "network"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
        (" 192.0.2.7:4711 ", "192.0.2.7", "192.0.2.0/24"),
        ("2001:DB8:0:1::7", "2001:db8:0:1::7", "2001:db8::/48"),
        ("[2001:db8:0:ffff::7]:4711", "2001:db8:0:ffff::7", "2001:db8::/48"),
        ("[2001:db8::7]", "2001:db8::7", "2001:db8::/48"),
        ("fe80::1%eth0", "fe80::1", "fe80::/48"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
    ],
)
def test_an_address_has_one_form(said: str, address: str, network: str) -> None:
    host = Host.of(said, ENGINE)
    assert host == Host(address, "26.1.5", "linux", "arm64")
    assert host is not None
    assert host.network == network


@pytest.mark.parametrize("said", ["", "unknown", "_hidden", "unix:", "192.0.2", "host.example", "[", "1.2.3.4\x00"])
def test_what_is_no_address_is_no_host(said: str) -> None:
    assert Host.of(said, ENGINE) is None


def test_what_an_engine_does_not_say_is_empty() -> None:
    assert Host.of("192.0.2.7", Engine("")) == Host("192.0.2.7", "")


@given(st.one_of(st.text(max_size=60), st.ip_addresses().map(str)))
def test_whatever_is_said_the_address_is_one_and_short(said: str) -> None:
    host = Host.of(said, ENGINE)
    if host is not None:
        assert str(ipaddress.ip_address(host.address)) == host.address
        assert len(host.address) <= 45
        assert ipaddress.ip_address(host.address) in ipaddress.ip_network(host.network)
