"""Command ``doctor``: goes the way of a Docker host to a registry, and to a plugin there, one step after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from mirror.app.hosts.mirror_walking import through_mirrors
from mirror.authoring.plugin_content import read_config, read_content
from mirror.hosts.checks.engine_checks import any_engine_checks
from mirror.hosts.checks.facts_gathering import ask_engine, with_files
from mirror.hosts.checks.file_checks import needed_paths
from mirror.hosts.checks.host_check import HostCheck, HostPrediction, Outcome, Step, problem, unknown
from mirror.hosts.checks.host_checks import check_host
from mirror.hosts.checks.host_facts import HostFacts
from mirror.hosts.checks.wanted_plugin import WantedPlugin, source_arguments
from mirror.hosts.desired_plugin import name_on_host
from mirror.hosts.engine_address import EngineAddress
from mirror.hosts.engine_api import EngineReader, RegistryLogin
from mirror.hosts.engine_client import EngineClient
from mirror.hosts.engine_errors import EngineFault, EngineUnreachable
from mirror.hosts.route.route_checks import route_checks
from mirror.hosts.route.route_client import RouteClient
from mirror.hosts.route.route_facts import EngineView, RegistryPlace, RouteFacts
from mirror.hosts.route.route_gathering import ENGINE_SECONDS, ask_view, walked, without_engine
from mirror.oci import Manifest, Reference
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.oci.printable_text import printable
from mirror.plugin.config.own_name import local_name
from mirror.plugin.lint.plugin_view import PluginContent, view_plugin
from mirror.plugin.rootfs.layer_limits import LayerLimits
from mirror.runtime.concurrency.threads import in_thread
from mirror.runtime.error_advice import split_fix
from mirror.transfer.progress_reporting import Progress
from mirror.upstream.auth.login_files import find_docker_login
from mirror.wire.registry_url import DOCKER_HUB_HOSTS, registry_host

#: Most seconds that the engine may take to ask the registry itself.
_QUESTION_SECONDS: Final = 60.0
#: Most seconds for reading the layers of the plugin.
_LAYERS_SECONDS: Final = 120.0


class Patient(Progress, Protocol):
    """Receiver of the steps for people who wait, and of the bytes of layers."""

    def tell(self, step: str) -> None:
        """Show the step that begins."""
        ...


@dataclass(frozen=True, slots=True)
class DoctorQuestion:
    """A question about the way of a host to a registry.

    Attributes:
        place: the registry.
        reference: a plugin there, with its host; None to look at the way only.
        address: address of the engine of the host.
        names_engine: True if the user named the engine, so that its absence is a problem.
        reads_layers: False to look at the config of the plugin only.
        is_of_hub: True for a name of Docker Hub, which engines ask registry mirrors for.
    """

    place: RegistryPlace
    reference: Reference | None
    address: EngineAddress
    names_engine: bool = False
    reads_layers: bool = True
    is_of_hub: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer.

    Attributes:
        engine: the engine of the host.
        prediction: all checks.
    """

    engine: EngineView
    prediction: HostPrediction

    @property
    def problems(self) -> tuple[HostCheck, ...]:
        """The checks that tell what is wrong."""
        return tuple(check for check in self.prediction.checks if check.outcome is Outcome.PROBLEM)


async def diagnose(
    asked: DoctorQuestion, limits: LayerLimits, environment: Mapping[str, str], patient: Patient
) -> Diagnosis:
    """Find out what is wrong between a host and a registry. Changes nothing, and ends within minutes.

    Args:
        asked: the question.
        limits: limits beyond which layers are not read.
        environment: ``DOCKER_CONFIG`` names the folder with docker's ``config.json``.
        patient: receives the steps.
    """
    async with AsyncExitStack() as stack:
        patient.tell(f"asking the engine at {asked.address}")
        engine, view = await _engine(stack, asked, environment)
        checks: list[HostCheck] = []
        way = None
        if asked.reference is not None and asked.is_of_hub:
            checks, way = await through_mirrors(stack, view, asked.reference, asked.place, patient.tell)
        if way is None:
            login = await _login(environment, asked.place.authority)
            route = walked(asked.place, view, asked.reference, login, patient.tell)
            way = await stack.enter_async_context(route)
        facts, client = way
        checks += route_checks(facts)
        if asked.reference is not None:
            doctor = _PluginDoctor(asked, engine, limits, patient)
            is_known = any(check.outcome is Outcome.PROBLEM for check in checks)
            checks += await doctor.checks(asked.reference, facts, client, is_known=is_known)
        return Diagnosis(view, HostPrediction(tuple(checks)))


async def _engine(
    stack: AsyncExitStack, asked: DoctorQuestion, environment: Mapping[str, str]
) -> tuple[EngineReader | None, EngineView]:
    """Return the engine with what it tells. Without an engine, return what its files tell."""
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            engine = await stack.enter_async_context(EngineClient.open(asked.address))
            return engine, await ask_view(engine, asked.address, asked.place, environment)
    except TimeoutError:
        why, stopped = f"the engine at {asked.address} does not answer; fix: look into the log of the engine", True
    except (EngineFault, ConfigurationFault) as error:
        why, stopped = str(error), isinstance(error, EngineUnreachable)
    # A socket without an engine behind it is what a stopped engine leaves.
    expected = asked.names_engine or (stopped and await in_thread(_has_socket, asked.address))
    return None, await in_thread(without_engine, asked.address, asked.place, why, is_expected=expected)


def _has_socket(address: EngineAddress) -> bool:
    with suppress(OSError):
        return address.socket is not None and address.socket.is_socket()
    return False


async def _login(environment: Mapping[str, str], host: str) -> RegistryLogin | None:
    """Return the login that ``docker login`` wrote for a registry; None to ask anonymously."""
    found = await find_docker_login(environment, host)
    login = None if found is None else await found.current()
    return None if login is None or not login.password else RegistryLogin(host, login.username, login.password)


@dataclass(frozen=True, slots=True)
class _PluginDoctor:
    """Looks at the plugin, which needs the engine of the host."""

    asked: DoctorQuestion
    engine: EngineReader | None
    limits: LayerLimits
    patient: Patient

    async def checks(
        self, reference: Reference, facts: RouteFacts, client: RouteClient | None, *, is_known: bool
    ) -> list[HostCheck]:
        """Return the engine's own answer about the plugin, and the checks of ``host check``.

        Args:
            reference: the plugin, with its host.
            facts: facts about the way to the registry.
            client: client of the registry; None if it does not answer.
            is_known: True if a problem on the way has been found already.
        """
        manifest = None if facts.content is None else facts.content.read
        if self.engine is None:
            return await self._without_engine(reference, manifest, facts, client)
        self.patient.tell(f"letting the engine ask for {reference}")
        try:
            async with asyncio.timeout(_QUESTION_SECONDS):
                host_facts = await ask_engine(self.engine, str(reference), self.asked.place.authority)
        except (TimeoutError, EngineFault):
            return [unknown("engine", Step.INSTALL, f"the engine does not answer when asked for {reference}")]
        if client is None or manifest is None or not manifest.is_plugin:
            return _engine_says(host_facts)
        try:
            content = await self._read(reference, manifest, client)
        except MirrorError as error:
            return [_unread(error), *_engine_says(host_facts)]
        wanted = _wanted(reference, manifest, content, facts)
        if self.asked.address.is_socket:
            host_facts = await with_files(host_facts, () if wanted.config is None else needed_paths(wanted.config))
        found = check_host(host_facts, wanted).checks
        if not host_facts.registry.refused or not is_known:
            return list(found)
        # The trouble has been told with its fix. The check of the registry would guess from the engine's words.
        return [*_engine_says(host_facts), *(check for check in found if check.name != "registry")]

    async def _without_engine(
        self, reference: Reference, manifest: Manifest | None, facts: RouteFacts, client: RouteClient | None
    ) -> list[HostCheck]:
        """Return what is known about all engines."""
        fix = "run doctor on the Docker host"
        unsure = unknown("engine", Step.INSTALL, "without an engine, nobody tells if the plugin fits it", fix)
        if client is None or manifest is None or not manifest.is_plugin:
            return [unsure]
        try:
            content = await self._read(reference, manifest, client)
        except MirrorError as error:
            return [_unread(error), unsure]
        return [*any_engine_checks(_wanted(reference, manifest, content, facts)), unsure]

    async def _read(self, reference: Reference, manifest: Manifest, client: RouteClient) -> PluginContent:
        """Read the plugin as far as it can be read in time."""
        if self.asked.reads_layers:
            self.patient.tell(f"reading the layers of {reference}")
            try:
                async with asyncio.timeout(_LAYERS_SECONDS):
                    return await read_content(client, reference.repository, manifest, self.patient, limits=self.limits)
            except TimeoutError:
                self.patient.tell(f"reading the config of {reference}")
        return await read_config(client, reference.repository, manifest)


def _unread(error: MirrorError) -> HostCheck:
    told, fix = split_fix(str(error))
    return unknown("content", Step.ENABLE, printable(told, 300), printable(fix, 300))


def _wanted(reference: Reference, manifest: Manifest, content: PluginContent, facts: RouteFacts) -> WantedPlugin:
    tag = None if reference.tag is None else reference.tag.name
    name = None if tag is None else local_name(reference.repository.name, tag)
    if reference.host is None:
        raise AssertionError("the question has a host")
    return WantedPlugin(
        remote=str(reference),
        # A registry mirror has the plugin, and the reference names Docker Hub.
        source=source_arguments(replace(reference, host=facts.place.authority), plain_http=facts.speaks_plain_http),
        host=reference.host,
        name=name_on_host(reference),
        digest=manifest.digest,
        by_digest=reference.digest is not None,
        size_bytes=manifest.content_size_bytes,
        view=view_plugin(content, tag, name=name),
        settings={},
    )


def _engine_says(facts: HostFacts) -> list[HostCheck]:
    if not facts.registry.refused:
        return []
    said = printable(facts.registry.refused, 300)
    return [problem("engine", Step.INSTALL, f'the engine of this host says: "{said}"', "see the first problem above")]


def question_of(
    reference: Reference | None, host: str | None, address: EngineAddress, default_host: str
) -> DoctorQuestion:
    """Return the question that a command line asks.

    Args:
        reference: a plugin, with or without a host.
        host: value of ``--host``.
        address: address of the engine.
        default_host: registry if neither names one.

    Raises:
        ConfigurationFault: the reference and ``--host`` name different registries.
        NameInvalid: the host is not the address of a registry.
    """
    if reference is not None and reference.host is not None:
        if host not in {None, reference.host}:
            raise ConfigurationFault(
                f"{reference} is at {reference.host}, and --host names {host}; fix: leave out one of them"
            )
        # On the way to Docker Hub, engines ask its registry, which has another name.
        asked = RegistryPlace.parse(registry_host(reference))
        return DoctorQuestion(asked, reference, address, is_of_hub=asked.authority in DOCKER_HUB_HOSTS)
    if reference is not None and host in DOCKER_HUB_HOSTS:
        return question_of(replace(reference, host=host), None, address, default_host)
    place = RegistryPlace.parse(host or default_host)
    named = None if reference is None else replace(reference, host=place.authority)
    return DoctorQuestion(place, named, address)
