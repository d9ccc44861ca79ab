"""What an engine with a known vulnerability is given of plugins: a wrapper made for one client."""

from __future__ import annotations

from mirror.access.client import Client
from mirror.filters.engine_tracking import EngineTracker
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import Denied
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, Exposure, Treatment
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry
from mirror.wire.user_agent import Engine


class EngineGate(DelegatingRegistry):
    """The registry as one engine sees it: its pulls of plugins are noted, and refused where that is wanted.

    A manifest is looked at after ``inner`` has given it, so that rights and decisions about the plugin come first.
    ``resolve`` passes: the answer to ``HEAD`` could not say why it is no (ADR 16). Blobs pass as well: no engine
    installs a plugin without its manifest.

    Args:
        inner: the registry behind.
        engine: who asks.
        address: where from.
        tracker: told of every pull of a plugin.
        refuses: whether an affected engine is refused.
    """

    def __init__(self, inner: Registry, engine: Engine, address: str, tracker: EngineTracker, *, refuses: bool) -> None:
        super().__init__(inner)
        self._engine = engine
        self._address = address
        self._tracker = tracker
        self._refuses = refuses

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """As the port says. Denied names the vulnerability that keeps the engine from getting a plugin."""
        manifest = await self.inner.get_manifest(repository, target)
        if manifest.may_be_plugin:
            exposure = self._tracker.pulled(self._engine, self._address)
            if self._refuses and exposure is not Exposure.UNAFFECTED:
                raise _refusal(self._engine, exposure, repository)
        return manifest


class EngineViews:
    """Implements :class:`mirror.access.client.ClientViews`: every manifest that an engine asks for is looked at.

    Args:
        tracker: told of every pull of a plugin.
        treatment: what follows for an affected engine.
    """

    def __init__(self, tracker: EngineTracker, treatment: Treatment) -> None:
        self._tracker = tracker
        self._refuses = treatment is Treatment.REFUSE

    def concerns(self, repository: Repository, target: Tag | Digest) -> bool:
        return True

    def varies_by_client(self, repository: Repository, target: Tag | Digest) -> bool:
        return self._refuses

    def view_for(self, client: Client, registry: Registry) -> Registry:
        if client.engine is None:
            return registry
        return EngineGate(registry, client.engine, client.address, self._tracker, refuses=self._refuses)


def _refusal(engine: Engine, exposure: Exposure, repository: Repository) -> Denied:
    flaw = UNCOMPARED_PRIVILEGE
    if exposure is Exposure.AFFECTED:
        reason = f"Docker Engine {engine.version} {flaw.effect} ({flaw.identifier})"
        fix = f"{flaw.remedy}; where a distribution has patched this version, list it under admission.engines.patched"
    else:
        said = f"the version {engine.version!r}" if engine.version else "no version that can be read"
        reason = f"this engine says {said}, which does not tell whether it has {flaw.identifier}"
        fix = "install a release whose version can be read"
    return Denied(
        f"{repository} is a plugin, and {reason}; fix: {fix}",
        name=repository,
        cve=flaw.identifier,
        engine=engine.version,
        exposure=exposure.value,
    )
