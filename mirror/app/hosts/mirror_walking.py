"""The way of a host through the ``registry-mirrors`` of its engine, which come first for a name of Docker Hub."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final, TypeAlias

from mirror.hosts.checks.host_check import HostCheck, Outcome, ok, warning
from mirror.hosts.route.docker_files import RegistryMirror, read_trust_folder
from mirror.hosts.route.route_checks import route_checks
from mirror.hosts.route.route_client import RouteClient
from mirror.hosts.route.route_facts import EngineView, RegistryPlace, RouteFacts
from mirror.hosts.route.route_gathering import walked
from mirror.oci import Reference
from mirror.oci.errors import NameInvalid
from mirror.oci.printable_text import printable
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.error_advice import split_fix

Way: TypeAlias = tuple[RouteFacts, RouteClient | None]

_WHY: Final = "because of registry-mirrors in daemon.json"


async def through_mirrors(
    stack: AsyncExitStack, view: EngineView, reference: Reference, place: RegistryPlace, tell: Callable[[str], None]
) -> tuple[list[HostCheck], Way | None]:
    """Go the way through each mirror, until one of them has the plugin.

    Engines would answer a challenge of a mirror with their login of Docker Hub. Here, mirrors are asked anonymously.

    Args:
        stack: closes the clients.
        view: the engine of the host.
        reference: the plugin, by a name of Docker Hub.
        place: the registry that is asked after all mirrors.
        tell: receives the step that begins, for people who wait.

    Returns:
        A check for each mirror, and the way through the one that has the plugin; None if no mirror has it.
    """
    found: list[HostCheck] = []
    for mirror in () if view.daemon is None else view.daemon.mirrors:
        if mirror.authority == place.authority:
            break
        shown, name = printable(mirror.authority), replace(reference, host=None)
        try:
            asked = RegistryPlace.parse(mirror.authority)
        except NameInvalid as error:
            told, fix = split_fix(str(error))
            found.append(warning("mirrors", None, f"registry-mirrors in daemon.json: {told}", fix))
            continue
        seen = await in_thread(_as_engines_see, view, mirror)
        route = walked(asked, seen, replace(reference, host=mirror.authority), None, tell)
        way = facts, _ = await stack.enter_async_context(route)
        if facts.speaks_plain_http and not mirror.is_plain:
            # Engines use the scheme of the entry, also for a host in insecure-registries.
            told = f"engines ask {shown} first for {name}, {_WHY}; {shown} speaks plain HTTP, and its entry is https://"
            found.append(warning("mirrors", None, told, f"write http://{shown} in its place, and restart the engine"))
        elif facts.content is not None and facts.content.read is not None:
            found.append(ok("mirrors", f"engines ask {shown} first for {name}, {_WHY}, and {shown} has the plugin"))
            return found, way
        else:
            found.append(_without_plugin(facts, shown, name))
    return found, None


def _as_engines_see(view: EngineView, mirror: RegistryMirror) -> EngineView:
    """Return the engine with the certificates for a mirror. Blocks."""
    if view.daemon is None:
        return view
    trust = read_trust_folder(view.daemon.path.parent, mirror.authority)
    if not mirror.is_plain:
        return replace(view, trust=trust)
    # A URL with http:// needs no entry in insecure-registries.
    daemon = replace(view.daemon, insecure=(*view.daemon.insecure, mirror.authority))
    info = (
        None if view.info is None else replace(view.info, insecure_hosts=(*view.info.insecure_hosts, mirror.authority))
    )
    return replace(view, trust=trust, daemon=daemon, info=info)


def _without_plugin(facts: RouteFacts, mirror: str, name: Reference) -> HostCheck:
    asked = f"engines ask {mirror} first for {name}, {_WHY}"
    if facts.content is not None and facts.content.manifest.status == 404:
        fix = f"let {mirror} copy the plugin, by a mirror rule or a proxy rule"
        return warning(
            "mirrors", None, f"{asked}; {mirror} does not have the plugin, so they ask the next registry", fix
        )
    about_mirror = (check for check in route_checks(facts) if check.name not in {"docker", "daemon"})
    wrong = next((check for check in about_mirror if check.outcome is Outcome.PROBLEM), None)
    told, fix = ("it does not answer", "") if wrong is None else (wrong.text, wrong.fix)
    return warning("mirrors", None, f"{asked}; {told}", fix or f"plugin-mirror doctor --host {mirror} {name}")
