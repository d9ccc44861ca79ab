"""Client addresses, and the keys under which clients are counted."""

from __future__ import annotations

import pytest

from mirror.wire.client_address import client_key, parse_address


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::7]:4711", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_what_a_client_takes_is_counted_for_its_address_or_its_network(address: str, client: str) -> None:
    assert client_key(address) == client
    assert client_key(client) == client


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.7/8", "None"),
        ("unix:", "None"),
        ("", "None"),
    ],
)
def test_the_address_in_a_text(text: str, address: str) -> None:
    assert str(parse_address(text)) == address
