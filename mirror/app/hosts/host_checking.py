"""Command ``host check``: reads a plugin, asks the engine of a host, and compares the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mirror.app.plugin_inspection import advertised_host, inspect_reference
from mirror.authoring.inspect import Inspection
from mirror.hosts.checks.engine_words import HTTP_REFUSED
from mirror.hosts.checks.facts_gathering import ask_engine, with_files
from mirror.hosts.checks.file_checks import needed_paths
from mirror.hosts.checks.host_check import HostPrediction
from mirror.hosts.checks.host_checks import check_host
from mirror.hosts.checks.host_facts import HostFacts
from mirror.hosts.checks.wanted_plugin import WantedPlugin, source_arguments
from mirror.hosts.desired_plugin import name_on_host
from mirror.hosts.engine_address import EngineAddress
from mirror.hosts.engine_client import EngineClient
from mirror.hosts.insecure_registries import may_use_http
from mirror.oci import Reference
from mirror.oci.errors import ManifestInvalid, NotFound, UpstreamFault
from mirror.settings import Settings
from mirror.transfer.progress_reporting import Progress


@dataclass(frozen=True, slots=True)
class HostQuestion:
    """A question about a host.

    Attributes:
        reference: the plugin. A reference without a host is read in the local store, and the engine is expected to pull
            it from the server of that store.
        address: address of the engine.
        alias: intended local name; None for the name in the reference, with the host.
        settings: intended settings.
        plain_http: True to read the plugin over HTTP even if the engine uses HTTPS.
    """

    reference: Reference
    address: EngineAddress
    alias: Reference | None
    settings: Mapping[str, str]
    plain_http: bool = False


async def check_reference(
    settings: Settings, asked: HostQuestion, progress: Progress | None
) -> tuple[HostFacts, WantedPlugin, HostPrediction]:
    """Predict if a plugin can be installed and used on a host. Changes nothing there.

    Args:
        settings: location of the store, and limits for reading layers.
        asked: the question.
        progress: receiver of the bytes read of layers; None to leave layers unread.

    Raises:
        EngineFault: the engine cannot be asked.
        ManifestInvalid: the content is not a plugin.
        MirrorError: the registry cannot be read.
    """
    reference = asked.reference
    host = reference.host or advertised_host(settings)
    remote = str(replace(reference, host=host))
    async with EngineClient.open(asked.address) as engine:
        facts = await ask_engine(engine, remote, host)
    found, plain_http = await _read_alike(settings, asked, facts, progress)
    if found.plugin is None:
        raise ManifestInvalid(f"{reference} is not a plugin: its content is of kind {found.kind}")
    wanted = WantedPlugin(
        remote=remote,
        source=source_arguments(reference, plain_http=plain_http and reference.host is not None),
        host=host,
        name=name_on_host(asked.alias or replace(reference, host=host)),
        digest=found.manifest.digest,
        by_digest=reference.digest is not None,
        size_bytes=found.manifest.content_size_bytes,
        view=found.plugin,
        settings=asked.settings,
    )
    if asked.address.is_socket:
        facts = await with_files(facts, () if wanted.config is None else needed_paths(wanted.config))
    return facts, wanted, check_host(facts, wanted)


async def _read_alike(
    settings: Settings, asked: HostQuestion, facts: HostFacts, progress: Progress | None
) -> tuple[Inspection, bool]:
    """Read the plugin over HTTP or HTTPS, as the engine does. Return it, and True for HTTP."""
    host = asked.reference.host
    if asked.plain_http or HTTP_REFUSED in facts.registry.refused:
        return await _read(settings, asked, facts, progress, plain_http=True), True
    if host is not None and may_use_http(facts.info, host, facts.registry_addresses):
        try:
            return await _read(settings, asked, facts, progress, plain_http=True), True
        except UpstreamFault:
            pass  # the registry has a certificate that the engine need not know
    return await _read(settings, asked, facts, progress, plain_http=False), False


async def _read(
    settings: Settings, asked: HostQuestion, facts: HostFacts, progress: Progress | None, *, plain_http: bool
) -> Inspection:
    """Read the content that the engine gets. A registry may give each platform its own content under one tag."""
    found = await inspect_reference(settings, asked.reference, progress, plain_http=plain_http)
    digest = facts.registry.digest
    if digest is None or digest == found.manifest.digest:
        return found
    try:
        by_digest = replace(asked.reference, digest=digest)
        return await inspect_reference(settings, by_digest, progress, plain_http=plain_http)
    except NotFound:
        return found  # the engine asked another registry of this name
