"""Command ``host apply``: reads the wanted versions at their registries, and plans the changes of a host.

Registries are asked as the engine asks them: over HTTP where the engine may use it, and with the login that
``docker login`` wrote for the user.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from mirror.authoring.plugin_content import require_plugin
from mirror.hosts.checks.facts_gathering import registry_addresses
from mirror.hosts.desired_plugin import DesiredPlugin, PluginRelease, engine_reference
from mirror.hosts.engine_api import EngineInfo, EngineReader, InstalledPlugin, RegistryLogin
from mirror.hosts.engine_errors import EngineFault, EngineRefused
from mirror.hosts.host_plan import HostPlan, PlannedPlugin, plan_plugin, plan_removal
from mirror.hosts.insecure_registries import may_use_http
from mirror.hosts.plugin_steps import PluginTarget
from mirror.hosts.plugin_values import same_content
from mirror.oci import Reference, Repository
from mirror.oci.errors import MirrorError, NotFound, UpstreamFault
from mirror.plugin.config.plugin_config import PluginConfig
from mirror.registry.config_reading import read_plugin_config
from mirror.upstream.auth.credentials import Credentials
from mirror.upstream.auth.login_files import find_docker_login
from mirror.upstream.http.http_proxies import Proxies
from mirror.upstream.registry import UpstreamRegistry
from mirror.wire.pagination import PageRequest
from mirror.wire.registry_url import DOCKER_HUB_HOSTS, registry_host

#: Most tags among which an installed version is looked for.
_MOST_TAGS: Final = 50


class HostPlanner:
    """Plans the changes of one host.

    Args:
        engine: engine of the host.
        info: properties of the engine.
        environment: ``DOCKER_CONFIG`` names the folder with docker's ``config.json``; proxies are read as well.
        plain_http: True to read all registries over HTTP.
    """

    def __init__(
        self, engine: EngineReader, info: EngineInfo, environment: Mapping[str, str], *, plain_http: bool = False
    ) -> None:
        self._engine = engine
        self._info = info
        self._environment = environment
        self._plain_http = plain_http
        self._over_http: set[str] = set()
        self._logins: dict[str, Credentials | None] = {}

    async def plan(self, desired: Sequence[DesiredPlugin], *, without_rollback: bool = False) -> HostPlan:
        """Return the plan for the plugins of a file.

        Args:
            desired: the plugins of the file.
            without_rollback: see :func:`mirror.hosts.host_plan.plan_plugin`.

        Raises:
            ConfigurationFault: a plugin does not have a setting of the file.
            EngineFault: the engine cannot be asked.
        """
        version = (await self._engine.version()).version
        installed = {plugin.name: plugin for plugin in await self._engine.plugins()}
        planned = [
            await self._planned(one, installed.get(one.name), version, without_rollback=without_rollback)
            for one in desired
        ]
        others = installed.keys() - {one.name for one in desired}
        return HostPlan(version, tuple(planned), tuple(sorted(others)))

    def login(self, remote: str) -> RegistryLogin | None:
        """Return the login of the user at the registry of a reference that was read; None if there is none."""
        host = registry_host(Reference.parse(remote))
        found = self._logins.get(host)
        if found is None or not found.password:
            return None
        return RegistryLogin(host, found.username, found.password)

    async def _planned(
        self, desired: DesiredPlugin, now: InstalledPlugin | None, engine: str, *, without_rollback: bool
    ) -> PlannedPlugin:
        if not desired.present:
            return plan_removal(desired, now)
        try:
            release = await self._read(desired.reference)
        except EngineFault:
            raise
        except MirrorError as error:
            return PlannedPlugin(PluginTarget(desired.name, None), now, problem=error)
        way_back = None
        if now is not None and not same_content(now.config, release.config):
            way_back = await self._find_installed(now)
        return plan_plugin(desired, now, release, way_back, engine=engine, without_rollback=without_rollback)

    async def _find_installed(self, now: InstalledPlugin) -> PluginRelease | None:
        """Return the installed version at its registry, under its own tag or another one; None if it is not there."""
        with suppress(MirrorError):
            reference = Reference.parse(now.reference)
            with suppress(NotFound):
                found = await self._read(reference)
                if same_content(now.config, found.config):
                    return found
            return await self._find_moved(now, reference)
        return None

    async def _find_moved(self, now: InstalledPlugin, reference: Reference) -> PluginRelease | None:
        """Return the installed version under another tag. A tag such as ``latest`` may have moved since the install."""
        async with self._opened(reference, plain_http=registry_host(reference) in self._over_http) as registry:
            page = await registry.list_tags(_repository_of(reference), PageRequest(_MOST_TAGS))
            # Newer versions mostly come last.
            for tag in reversed(page.entries):
                with suppress(MirrorError):
                    found = await self._release(registry, replace(reference, tag=tag, digest=None))
                    if same_content(now.config, found.config):
                        return found
        return None

    async def _read(self, reference: Reference) -> PluginRelease:
        """Read a version over HTTP or HTTPS, as the engine does."""
        host = registry_host(reference)
        if self._plain_http or may_use_http(self._info, host, await registry_addresses(host)):
            self._over_http.add(host)
            try:
                async with self._opened(reference, plain_http=True) as registry:
                    return await self._release(registry, reference)
            except UpstreamFault:
                # A registry with a certificate that the engine need not know answers over HTTPS only.
                if self._plain_http:
                    raise
                self._over_http.discard(host)
        async with self._opened(reference, plain_http=False) as registry:
            return await self._release(registry, reference)

    @asynccontextmanager
    async def _opened(self, reference: Reference, *, plain_http: bool) -> AsyncIterator[UpstreamRegistry]:
        host = registry_host(reference)
        async with UpstreamRegistry.open(
            name=host,
            url=f"{'http' if plain_http else 'https'}://{host}",
            plain_http=plain_http,
            login=await self._find_login(host),
            login_advice=f"docker login {host}",
            proxies=Proxies(environment=self._environment),
        ) as registry:
            yield registry

    async def _release(self, registry: UpstreamRegistry, reference: Reference) -> PluginRelease:
        remote, repository = engine_reference(reference), _repository_of(reference)
        target = reference.target if reference.tag is None else reference.tag
        # A registry may give each platform its own content under one tag. The engine tells what it gets.
        with suppress(EngineRefused):
            target = await self._engine.remote_digest(remote) or target
        manifest = await registry.get_manifest(repository, target)
        require_plugin(manifest, str(reference))
        if manifest.config is None:
            raise AssertionError("a plugin has a config")
        content = (
            await read_plugin_config(registry, repository, manifest.config.digest, manifest.config.size_bytes)
        ).require()
        return PluginRelease(remote, manifest.digest, PluginConfig.parse(content))

    async def _find_login(self, host: str) -> Credentials | None:
        """Return the login that ``docker login`` wrote for a registry; None to ask anonymously."""
        if host not in self._logins:
            login = await find_docker_login(self._environment, host)
            self._logins[host] = None if login is None else await login.current()
        return self._logins[host]


def _repository_of(reference: Reference) -> Repository:
    """Return the repository at the registry. On Docker Hub, a name with one component is in ``library``."""
    if registry_host(reference) == DOCKER_HUB_HOSTS[0] and "/" not in reference.repository.name:
        return Repository.parse(f"library/{reference.repository}")
    return reference.repository
