"""Check that the engine of a host can read a plugin from its registry. Pure."""

from __future__ import annotations

import ipaddress
import json
from typing import Final

from mirror.hosts.checks.host_check import HostCheck, Step, ok, problem, unknown, warning
from mirror.hosts.checks.host_facts import HostFacts
from mirror.hosts.checks.wanted_plugin import WantedPlugin
from mirror.hosts.engine_api import EngineInfo
from mirror.oci.printable_text import printable

#: Parts of engines' messages about a missing login.
_LOGIN: Final = ("unauthorized", "no basic auth", "authentication required", "docker login")
#: Networks that are in the list of each engine by default.
_LOOPBACK: Final = frozenset({"127.0.0.0/8", "::1/128"})
#: Parts of engines' messages about TLS.
_TLS: Final = ("x509", "certificate", "tls:")
#: Part of the message of an engine that met plain HTTP where it expects HTTPS (Go: net/http).
HTTP_REFUSED: Final = "server gave HTTP response to HTTPS client"


def registry_check(facts: HostFacts, wanted: WantedPlugin) -> HostCheck:
    """Return the check. The engine has asked the registry itself."""
    answer = facts.registry
    if answer.digest == wanted.digest:
        return ok("registry", f"the engine reads this digest at {wanted.host}")
    if answer.digest is not None:
        return warning(
            "registry",
            Step.INSTALL,
            f"the engine reads other content at {wanted.host}: {answer.digest}, not {wanted.digest}",
            "check that the engine and this program reach the same registry, or try again if the tag has just moved",
        )
    if not answer.refused:
        return unknown("registry", Step.INSTALL, f"this engine does not tell if it can read {wanted.host}")
    said = printable(answer.refused, 300)
    if HTTP_REFUSED in said:
        info = facts.info
        # The key replaces the list that the engine has, so the whole list is printed.
        whole = [*info.insecure_hosts, *(net for net in info.insecure_networks if net not in _LOOPBACK), wanted.host]
        return problem(
            "registry",
            Step.INSTALL,
            f'{wanted.host} speaks plain HTTP, and the engine insists on HTTPS: "{said}"',
            f"write {printable(json.dumps({'insecure-registries': whole}))} into /etc/docker/daemon.json, beside its "
            "other keys, then reload the engine: systemctl reload docker",
        )
    if any(part in said for part in _LOGIN):
        # The client sends its login with an install, and this question was asked without one.
        return warning(
            "registry",
            Step.INSTALL,
            f'{wanted.host} wants a login from the engine: "{said}"',
            f"docker login {wanted.host}, as the user who installs the plugin",
        )
    if any(part in said for part in _TLS):
        fix = f"put the certificate of its authority into /etc/docker/certs.d/{wanted.host}/ca.crt on the host"
    elif "denied" in said:
        fix = f"ask the operator of {wanted.host}, or check this host against the reason in the message"
    else:
        fix = f"make {wanted.host} reachable from the host, and check the name in the reference"
    return problem("registry", Step.INSTALL, f'the engine cannot read the plugin at {wanted.host}: "{said}"', fix)


def may_use_http(info: EngineInfo, host: str, addresses: tuple[str, ...]) -> bool:
    """Return True if an engine talks plain HTTP to a registry (moby: registry/config.go, isSecureIndex).

    Args:
        info: properties of the engine, with its list of insecure registries.
        host: registry, as ``HOST[:PORT]``.
        addresses: addresses of the registry.
    """
    if host in info.insecure_hosts:
        return True
    networks = [network for text in info.insecure_networks if (network := _network(text)) is not None]
    found = [address for text in addresses if (address := _address(text)) is not None]
    return any(address in network for network in networks for address in found)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
