import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.settings.server.listen_address import HostPort


@pytest.mark.parametrize(
    ("text", "listen", "loopback"),
    [
        ("127.0.0.1:5000", HostPort("127.0.0.1", 5000), True),
        ("127.9.9.9:0", HostPort("127.9.9.9", 0), True),
        ("localhost:5000", HostPort("localhost", 5000), True),
        ("[::1]:5000", HostPort("::1", 5000), True),
        ("0.0.0.0:5000", HostPort("0.0.0.0", 5000), False),
        ("[::]:5000", HostPort("::", 5000), False),
        ("mirror.example:443", HostPort("mirror.example", 443), False),
    ],
)
def test_addresses(text, listen, loopback):
    assert HostPort.parse(text) == listen
    assert (str(listen), listen.is_loopback) == (text, loopback)


@pytest.mark.parametrize("text", ["", "5000", ":5000", "host", "host:", "host:x", "host:65536", "::1:5000", "h:٣"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        HostPort.parse(text)


@given(st.text())
def test_anything_else_is_a_value_error(text):
    try:
        listen = HostPort.parse(text)
    except ValueError:
        return
    assert HostPort.parse(str(listen)) == listen
