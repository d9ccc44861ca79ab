"""Check that the engine of a host can read a plugin from its registry. Pure."""

from __future__ import annotations

from typing import Final

from mirror.hosts.checks.engine_words import HTTP_REFUSED
from mirror.hosts.checks.host_check import HostCheck, Step, ok, problem, unknown, warning
from mirror.hosts.checks.host_facts import HostFacts
from mirror.hosts.checks.wanted_plugin import WantedPlugin
from mirror.hosts.insecure_registries import how_to_allow_http
from mirror.oci.printable_text import printable

#: Parts of engines' messages about a missing login.
_LOGIN: Final = ("unauthorized", "no basic auth", "authentication required", "docker login")
#: Parts of engines' messages about TLS.
_TLS: Final = ("x509", "certificate", "tls:")


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
        return problem(
            "registry",
            Step.INSTALL,
            f'{wanted.host} speaks plain HTTP, and the engine insists on HTTPS: "{said}"',
            how_to_allow_http(facts.info, wanted.host),
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
