"""Engine gate: a wrapper, made for one client, for engines with a known vulnerability."""

from __future__ import annotations

from mirror.access.client import Client
from mirror.filters.engine_tracking import EngineTracker
from mirror.oci import Digest, Manifest, Repository, Tag
from mirror.oci.errors import Denied
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, Exposure, Treatment
from mirror.registry.delegate import DelegatingRegistry
from mirror.registry.port import Registry
from mirror.runtime.current_client import IS_ENGINE
from mirror.wire.user_agent import Engine


class EngineGate(DelegatingRegistry):
    """The registry as one engine sees it. Its pulls of plugins are tracked, and refused if the setting asks for it.

    A manifest is checked after ``inner`` has returned it, so rights and decisions about the plugin come first.
    ``resolve`` passes, because an answer to ``HEAD`` cannot carry a reason (ADR 16). Blobs pass too, because no engine
    installs a plugin without its manifest.

    Args:
        inner: the wrapped registry.
        engine: engine that reads.
        address: address of the client.
        tracker: receiver of every pull of a plugin.
        refuses: True to refuse affected engines.
    """

    def __init__(self, inner: Registry, engine: Engine, address: str, tracker: EngineTracker, *, refuses: bool) -> None:
        super().__init__(inner)
        self._engine = engine
        self._address = address
        self._tracker = tracker
        self._refuses = refuses

    async def get_manifest(self, repository: Repository, target: Tag | Digest) -> Manifest:
        """Return a manifest as the port defines.

        Raises Denied, naming the vulnerability, if the engine may not get the plugin.
        """
        IS_ENGINE.set(True)  # for the rest of the request, which has a context of its own
        manifest = await self.inner.get_manifest(repository, target)
        if manifest.may_be_plugin:
            exposure = self._tracker.pulled(self._engine, self._address)
            # Refuse unknown versions too: a version that cannot be read never counts as safe (ADR 21).
            if self._refuses and exposure is not Exposure.UNAFFECTED:
                raise _refusal(self._engine, exposure, repository)
        return manifest


class EngineViews:
    """Views in which every manifest read by an engine is checked. Implements :class:`mirror.access.client.ClientViews`.

    Args:
        tracker: receiver of every pull of a plugin.
        treatment: treatment of affected engines.
    """

    def __init__(self, tracker: EngineTracker, treatment: Treatment) -> None:
        self._tracker = tracker
        self._refuses = treatment is Treatment.REFUSE

    def concerns(self, repository: Repository, target: Tag | Digest) -> bool:
        return True

    def varies_by_client(self, repository: Repository, target: Tag | Digest) -> bool:
        # Only refusals make answers depend on the client, and so need Vary (ADR 21).
        return self._refuses

    def view_for(self, client: Client, registry: Registry) -> Registry:
        # Mirrors and scanners read manifests too, but install nothing (ADR 21).
        if client.engine is None:
            return registry
        return EngineGate(registry, client.engine, client.address, self._tracker, refuses=self._refuses)


def _refusal(engine: Engine, exposure: Exposure, repository: Repository) -> Denied:
    flaw = UNCOMPARED_PRIVILEGE
    if exposure is Exposure.AFFECTED:
        reason = f"Docker Engine {engine.version} {flaw.effect} ({flaw.identifier})"
        fix = f"{flaw.remedy}; where a distribution has patched this version, list it under admission.engines.patched"
    else:
        said = f"the version {engine.version!r}" if engine.version else "no readable version"
        reason = f"this engine reports {said}, so it is unknown whether it has {flaw.identifier}"
        fix = "install a release with a readable version"
    return Denied(
        f"{repository} is a plugin, and {reason}; fix: {fix}",
        name=repository,
        cve=flaw.identifier,
        engine=engine.version,
        exposure=exposure.value,
    )
