"""Checks of the way from a host to a registry, each with its fix. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mirror.hosts.checks import engine_words
from mirror.hosts.checks.host_check import HostCheck, Step, ok, problem, unknown, warning
from mirror.hosts.insecure_registries import DAEMON_FILE, how_to_allow_http
from mirror.hosts.route.content_checks import content_checks, token_check
from mirror.hosts.route.route_facts import RouteFacts, TlsAnswer, TlsOutcome
from mirror.oci.printable_text import printable
from mirror.oci.timestamps import machine_time
from mirror.runtime.error_advice import split_fix

_REFUSED: Final = "Connection refused"


def route_checks(facts: RouteFacts) -> Iterator[HostCheck]:
    """Yield the checks in the order in which an engine meets them. The first step that fails ends them."""
    yield from _docker(facts)
    yield from _daemon_file(facts)
    if facts.unresolved:
        yield problem(
            "name",
            Step.INSTALL,
            _said(f"{facts.place.name} has no address: {facts.unresolved}", engine_words.NO_SUCH_HOST),
            f"add {facts.place.name} to the name servers of this host, or to its /etc/hosts",
        )
        return
    if facts.addresses != (facts.place.name,):
        yield ok("name", f"{facts.place.name} is {', '.join(facts.addresses)}")
    yield from _tcp(facts)
    if facts.tls is None and not facts.speaks_plain_http:
        return
    yield from _trust_folder(facts)
    yield from _encryption(facts)
    if facts.api is None:
        return
    yield from _api(facts)
    if facts.api.status not in {200, 401} or (facts.api.status == 200 and facts.api.is_page):
        return
    yield from token_check(facts)
    yield from content_checks(facts)


def _docker(facts: RouteFacts) -> Iterator[HostCheck]:
    engine = facts.engine
    if engine.version is not None:
        yield ok("docker", f"Docker Engine {printable(engine.version.version, 40)} at {engine.address}")
    elif engine.is_expected:
        yield problem("docker", Step.INSTALL, *split_fix(engine.problem))
    else:
        told, fix = split_fix(engine.problem)
        instead = "" if engine.daemon is None else "; its files are read instead"
        yield unknown("docker", None, f"{told}{instead}", fix)


def _daemon_file(facts: RouteFacts) -> Iterator[HostCheck]:
    engine, host = facts.engine, facts.place.authority
    if engine.daemon is None:
        yield unknown("daemon", None, "the files of the engine's host cannot be seen from here")
        return
    path = engine.daemon.path
    if engine.daemon.is_hidden:
        yield unknown("daemon", None, f"{path} is closed to this user", "run as root")
    elif engine.daemon.problem:
        yield warning(
            "daemon",
            None if engine.info is not None else Step.INSTALL,
            f"{path} {engine.daemon.problem}, so the engine will not start again",
            f"correct {path}, and check it with: dockerd --validate",
        )
    elif engine.info is not None and host in set(engine.daemon.insecure_hosts) - set(engine.info.insecure_hosts):
        yield problem(
            "daemon",
            Step.INSTALL,
            f"{path} names {host} in insecure-registries, and the running engine has not read it",
            "systemctl reload docker",
        )


def _tcp(facts: RouteFacts) -> Iterator[HostCheck]:
    place = facts.place
    failed = [attempt for attempt in facts.attempts if attempt.problem]
    told = ", ".join(f"{_joined(each.address, each.port)} ({each.problem})" for each in failed)
    if not failed:
        yield ok(
            "tcp", ", ".join(f"{_joined(each.address, each.port)}" for each in facts.attempts) + " accepts connections"
        )
    elif len(failed) < len(facts.attempts):
        fix = f"let {place.name} have only the addresses that answer, or open the others"
        yield warning("tcp", Step.INSTALL, f"no connection to {told}", fix)
    elif facts.speaks_plain_http:
        yield ok("tcp", f"{place.name} accepts connections on port {place.port_for(plain=True)}")
    else:
        yield problem("tcp", Step.INSTALL, *_no_connection(facts, told))


def _no_connection(facts: RouteFacts, told: str) -> tuple[str, str]:
    place = facts.place
    first = facts.attempts[0].problem
    is_refused = first == _REFUSED
    # The system's words are those of Go, in lower case.
    words = engine_words.TIMED_OUT if first.startswith("no answer") else f"connect: {first.lower()}"
    if place.port is None:
        fix = f"name the port: a reference without one means 443, so write {place.authority}:5000/NAME"
    elif is_refused:
        fix = (
            "start the server there; if it runs, let server.listen be an address that hosts reach, such as "
            f"0.0.0.0:{place.port}, and check the port in the reference"
        )
    else:
        fix = f"open TCP port {place.port} to {place.name} in the firewalls between, and check its address"
    return _said(f"no connection to {told}", words), fix


def _trust_folder(facts: RouteFacts) -> Iterator[HostCheck]:
    trust = facts.engine.trust
    if trust is None or facts.may_use_http:
        return  # engines read certs.d only for registries that must use TLS
    if trust.problem:
        fix = "put both files there, or remove the one; CA certificates have names that end with .crt"
        yield problem("certs.d", Step.INSTALL, f"{trust.problem}, so the engine does not connect", fix)
    elif trust.is_hidden:
        yield unknown("certs.d", Step.INSTALL, f"{trust.path} is closed to this user", "run as root")


def _encryption(facts: RouteFacts) -> Iterator[HostCheck]:
    """Yield the check of TLS, or of plain HTTP."""
    host = facts.place.authority
    if facts.tls is not None and facts.tls.is_tls:
        yield _certificate(facts, facts.tls)
    elif not facts.speaks_plain_http:
        why = "" if facts.tls is None else f": {facts.tls.why}"
        yield problem(
            "tls",
            Step.INSTALL,
            f"{host} speaks neither TLS nor HTTP{why}",
            "check the port in the reference, and the log of the server",
        )
    elif facts.may_use_http:
        yield ok("http", f"{host} speaks plain HTTP, and the engine allows it")
    else:
        daemon_file = DAEMON_FILE if facts.engine.daemon is None else facts.engine.daemon.path
        yield problem(
            "http",
            Step.INSTALL,
            _said(f"{host} speaks plain HTTP, and the engine insists on HTTPS", engine_words.HTTP_REFUSED),
            how_to_allow_http(facts.engine, facts.place.authority, daemon_file),
        )


def _certificate(facts: RouteFacts, tls: TlsAnswer) -> HostCheck:
    host, shown = facts.place.authority, tls.certificate
    folder = f"/etc/docker/certs.d/{host}" if facts.engine.trust is None else facts.engine.trust.path
    if tls.outcome is TlsOutcome.VERIFIED:
        until = "" if shown is None else f", with a certificate that is valid until {machine_time(shown.expires)}"
        return ok("tls", f"{host} speaks {tls.version}{until}")
    if facts.may_use_http:
        return ok("tls", f"{host} speaks TLS, and the engine verifies no certificate of an insecure registry")
    if tls.outcome is TlsOutcome.EXPIRED:
        span = (
            ""
            if shown is None
            else f" (it is valid from {machine_time(shown.begins)} to {machine_time(shown.expires)})"
        )
        return problem(
            "tls",
            Step.INSTALL,
            _said(f"the certificate of {host} is not valid at this time{span}", engine_words.EXPIRED),
            "renew it at the mirror: plugin-mirror tls renew; if it is valid, set the clock of this host",
        )
    if tls.outcome is TlsOutcome.WRONG_NAME:
        names = ", ".join(shown.names) if shown is not None and shown.names else "no name"
        return problem(
            "tls",
            Step.INSTALL,
            _said(
                f"the certificate of {host} is for {names}, and not for {facts.place.name}",
                f"{engine_words.WRONG_NAME} {names}, not {facts.place.name}",
            ),
            "use one of these names in the reference, or make a new certificate at the mirror: plugin-mirror tls renew "
            f"--san {facts.place.name}",
        )
    issuer = "an unknown authority" if shown is None else f'"{shown.issuer}", which this host does not trust'
    text = _said(f"the certificate of {host} is from {issuer}", engine_words.UNKNOWN_AUTHORITY)
    fix = (
        f"put the certificate of its authority into {folder}/ca.crt (at the mirror, 'plugin-mirror tls host-setup "
        f"{host}' prints the commands)"
    )
    if facts.engine.trust is None:
        return warning("tls", Step.INSTALL, f"{text}; the engine's host may trust it", fix)
    return problem("tls", Step.INSTALL, text, fix)


def _api(facts: RouteFacts) -> Iterator[HostCheck]:
    host, api = facts.place.authority, facts.api
    if api is None:
        raise AssertionError("the API has been asked")
    if not api.status:
        # Some servers end the connection without the alert that asks for a certificate.
        wants = "certificate required" in api.problem or "closed without an answer" in api.problem
        is_certificate = wants and facts.tls is not None and facts.tls.is_tls
        folder = f"/etc/docker/certs.d/{host}" if facts.engine.trust is None else facts.engine.trust.path
        fix = (
            f"put client.cert and client.key into {folder} (at the mirror, 'plugin-mirror tls client NAME' makes them)"
            if is_certificate
            else "look into the log of the server"
        )
        said = engine_words.NO_CLIENT_CERTIFICATE if is_certificate else "EOF"
        why = "it wants a client certificate" if is_certificate else api.problem
        yield problem("api", Step.INSTALL, _said(f"{host} does not answer /v2/: {why}", said), fix)
    elif api.status == 200 and not api.is_page:
        yield ok("api", f"{host} answers as a registry")
    elif api.status == 401:
        yield ok("api", f"{host} answers as a registry, and asks who you are")
    elif api.status in {429, 500, 502, 503, 504}:
        reason, fix = api.reason
        yield problem(
            "api",
            Step.INSTALL,
            _said(f"{host} cannot serve now{reason}", engine_words.status(api.status)),
            fix or "try again; look into the log of the server, and at /readyz there",
        )
    else:
        reason, fix = api.reason
        what = "a web page" if api.is_page else f"{engine_words.status(api.status)}{reason}"
        yield problem(
            "api",
            Step.INSTALL,
            f"no registry answers at {host}: /v2/ is {what}",
            fix or "check the port in the reference; a reverse proxy must pass /v2/ on to the mirror",
        )


def _said(text: str, words: str) -> str:
    return f'{text}; engines say: "{words}"'


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
