from __future__ import annotations

import pytest
from yarl import URL

from mirror.oci.errors import ConfigurationFault
from mirror.upstream.http.http_proxies import Proxies

P = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://hub.example", None),
        ({"HTTPS_PROXY": P}, "https://hub.example", P),
        ({"https_proxy": P}, "https://hub.example", P),
        ({"HTTP_PROXY": P}, "https://hub.example", None),
        ({"HTTP_PROXY": P}, "http://hub.example", P),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://hub.example", P),
        ({"ALL_PROXY": "socks5://s.example:1080"}, "https://hub.example", "socks5://s.example:1080"),
        ({"ALL_PROXY": "socks5://s.example:1080", "HTTPS_PROXY": P}, "https://hub.example", P),
        ({"HTTPS_PROXY": "", "https_proxy": ""}, "https://hub.example", None),
        ({"HTTPS_PROXY": P}, "https://127.0.0.1:5000", None),
        ({"HTTPS_PROXY": P}, "https://localhost", None),
        ({"HTTPS_PROXY": P}, "https://[::1]:5000", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "*"}, "https://hub.example", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "hub.example"}, "https://hub.example", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "hub.example"}, "https://HUB.example.", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "hub.example"}, "https://a.hub.example", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "hub.example"}, "https://nothub.example", P),
        ({"HTTPS_PROXY": P, "NO_PROXY": ".hub.example"}, "https://hub.example", P),
        ({"HTTPS_PROXY": P, "NO_PROXY": ".hub.example"}, "https://a.hub.example", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "*.hub.example"}, "https://a.hub.example", None),
        ({"HTTPS_PROXY": P, "no_proxy": "x, hub.example ,y"}, "https://hub.example", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "hub.example:443"}, "https://hub.example", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "hub.example:5000"}, "https://hub.example", P),
        ({"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, "https://11.1.2.3", P),
        ({"HTTPS_PROXY": P, "NO_PROXY": "10.1.2.3"}, "https://10.1.2.3:5000", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "10.1.2.3:5000"}, "https://10.1.2.3:5000", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "fd12::/16"}, "https://[fd12::1]", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "[fd12::1]:5000"}, "https://[fd12::1]:5000", None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, "https://[fd12::1]", P),
        ({"HTTPS_PROXY": P, "NO_PROXY": ",,[,/,:"}, "https://hub.example", P),
    ],
)
def test_the_environment(environment: dict[str, str], url: str, proxy: str | None) -> None:
    found = Proxies(environment=environment).through(URL(url))
    assert found == (URL(proxy) if proxy else None)


def test_what_is_configured_wins() -> None:
    environment = {"HTTPS_PROXY": "http://other.example", "NO_PROXY": "*"}
    assert Proxies(P, environment).through(URL("https://127.0.0.1")) == URL(P)
    assert Proxies("direct", {"HTTPS_PROXY": P}).through(URL("https://hub.example")) is None


@pytest.mark.parametrize("text", ["ftp://proxy.example", "http://", "proxy", "http://[::1", ""])
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ConfigurationFault, match="not a proxy's URL"):
        Proxies(text).through(URL("https://hub.example"))


def test_secrets_of_a_proxy_are_not_told() -> None:
    with pytest.raises(ConfigurationFault) as raised:
        Proxies("ftp://user:s3cret@proxy.example").through(URL("https://hub.example"))
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in repr(Proxies(environment={"HTTPS_PROXY": "http://user:s3cret@proxy.example"}))
