import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.settings.listen_address import Listen


@pytest.mark.parametrize(
    ("text", "listen", "loopback"),
    [
        ("127.0.0.1:5000", Listen("127.0.0.1", 5000), True),
        ("127.9.9.9:0", Listen("127.9.9.9", 0), True),
        ("localhost:5000", Listen("localhost", 5000), True),
        ("[::1]:5000", Listen("::1", 5000), True),
        ("0.0.0.0:5000", Listen("0.0.0.0", 5000), False),
        ("[::]:5000", Listen("::", 5000), False),
        ("mirror.example:443", Listen("mirror.example", 443), False),
    ],
)
def test_addresses(text, listen, loopback):
    assert Listen.parse(text) == listen
    assert (str(listen), listen.is_loopback) == (text, loopback)


@pytest.mark.parametrize("text", ["", "5000", ":5000", "host", "host:", "host:x", "host:65536", "::1:5000", "h:٣"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        Listen.parse(text)


@given(st.text())
def test_anything_else_is_a_value_error(text):
    try:
        listen = Listen.parse(text)
    except ValueError:
        return
    assert Listen.parse(str(listen)) == listen
