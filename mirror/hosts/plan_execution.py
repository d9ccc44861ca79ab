"""Execution of a plan on an engine. A plugin whose change fails is led back to its former state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from mirror.hosts.engine_api import EngineChanger, EngineReader, InstalledPlugin, PullProgress, PullStep, RegistryLogin
from mirror.hosts.engine_errors import EngineProtocolError, EngineRefused, EngineUnreachable
from mirror.hosts.host_plan import HostPlan, PlannedPlugin
from mirror.hosts.plugin_result import PluginOutcome, PluginResult, state_of, variables_left
from mirror.hosts.plugin_steps import PluginStep, PluginTarget, StepKind, command_of, steps_between
from mirror.oci.errors import Busy, MirrorError, Unsupported, UpstreamUnreachable
from mirror.oci.printable_text import printable
from mirror.plugin.config.privileges import Privilege
from mirror.runtime.retry_policy import RetryPolicy

#: Most steps for one plugin. The longest way has five.
_MOST_STEPS: Final = 12
#: After an enable that failed, the engine needs some seconds until it can enable a plugin again.
_ENABLE_AGAIN: Final = RetryPolicy(attempts=8, first_delay_seconds=0.5, longest_delay_seconds=4.0)
_STILL_STOPPING: Final = "already in use"


class HostEngine(EngineReader, EngineChanger, Protocol):
    """An engine whose plugins are changed."""


class _Stopped(Exception):
    """The user stopped the execution."""


class _DigestWatch:
    """Receiver of a pull's progress that keeps the digest of the manifest, which engines report at the beginning."""

    def __init__(self, inner: PullProgress | None) -> None:
        self.digest: str | None = None
        self._inner = inner

    def __call__(self, step: PullStep) -> None:
        word, _, digest = step.status.partition(": ")
        if word == "Digest":
            self.digest = digest
        if self._inner is not None:
            self._inner(step)


class PlanExecution:
    """Execution of one plan.

    Args:
        engine: the engine.
        stop: set when the execution should stop. The running pull is cancelled, and the plugin is rolled back.
        force: True to disable plugins that are in use.
        progress: returns the receiver of a pull's progress, by the name of the plugin.
        login: returns the login at the registry of a reference.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        engine: HostEngine,
        stop: asyncio.Event,
        *,
        force: bool = False,
        progress: Callable[[str], PullProgress | None] = lambda _: None,
        login: Callable[[str], RegistryLogin | None] = lambda _: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._stop = stop
        self._force = force
        self._progress = progress
        self._login = login
        self._pause = pause
        self._gone = False

    async def run(self, plan: HostPlan) -> AsyncIterator[PluginResult]:
        """Change the plugins in the order of the plan, and yield the result for each.

        A failure does not keep other plugins from being changed. If the engine cannot be reached, the remaining plugins
        are not changed.
        """
        for plugin in plan.plugins:
            if plugin.problem is not None:
                yield PluginResult(plugin.name, PluginOutcome.REFUSED, error=plugin.problem)
            elif not plugin.steps:
                yield PluginResult(plugin.name, PluginOutcome.UNCHANGED)
            elif self._gone or self._stop.is_set():
                yield PluginResult(plugin.name, PluginOutcome.NOT_DONE)
            else:
                yield await self._change(plugin)

    async def _change(self, plugin: PlannedPlugin) -> PluginResult:
        """Change a plugin. After a failure or a request to stop, lead it back to its former state."""
        done: list[PluginStep] = []
        error: MirrorError | None = None
        try:
            if await self._find(plugin.name) != plugin.now:
                why = f"{plugin.name} has changed since the plan was made; fix: run the command again"
                return PluginResult(plugin.name, PluginOutcome.REFUSED, error=Busy(why))
            await self._lead(plugin.target, done, stoppable=True)
            return PluginResult(plugin.name, PluginOutcome.DONE, tuple(done))
        except _Stopped:
            pass
        except MirrorError as failure:
            error = failure
        # After the removal of the old version an upgrade would not bring its devices back.
        back = PluginTarget.of_installed(plugin.name, plugin.now, plugin.way_back, replace=plugin.target.replace)
        try:
            undone: list[PluginStep] = []
            await self._lead(back, undone, stoppable=False)
            now = await self._find(plugin.name)
        except MirrorError as failure:
            self._gone = isinstance(failure, EngineUnreachable)
            left, commands = await self._left(back)
            return PluginResult(plugin.name, PluginOutcome.STUCK, tuple(done), error, failure, left, commands)
        if not done and not undone:
            return PluginResult(
                plugin.name, PluginOutcome.NOT_DONE if error is None else PluginOutcome.REFUSED, error=error
            )
        left = f"{state_of(now)}{variables_left(now, back)}"
        return PluginResult(plugin.name, PluginOutcome.ROLLED_BACK, tuple(done), error, left=left)

    async def _lead(self, target: PluginTarget, done: list[PluginStep], *, stoppable: bool) -> None:
        """Carry out steps until the engine reports the wanted state. Adds each step to ``done``."""
        before: PluginStep | None = None
        for _ in range(_MOST_STEPS):
            steps = steps_between(await self._find(target.name), target)
            if not steps:
                return
            if stoppable and self._stop.is_set():
                raise _Stopped
            step = steps[0]
            if step == before:
                raise _without_effect(step, target)
            try:
                await self._carry_out(step, target, stoppable=stoppable)
            except EngineUnreachable:
                # The connection may have ended after the engine had made the change.
                if steps_between(await self._find(target.name), target) == steps:
                    raise
            done.append(step)
            before = step
        raise EngineProtocolError(f"{target.name} did not reach the wanted state in {_MOST_STEPS} steps")

    async def _carry_out(self, step: PluginStep, target: PluginTarget, *, stoppable: bool) -> None:
        engine, name = self._engine, target.name
        match step.kind:
            case StepKind.DISABLE:
                await self._disable(name)
            case StepKind.SET:
                await engine.change_settings(name, [f"{key}={value}" for key, value in step.settings.items()])
            case StepKind.ENABLE:
                await self._enable(name)
            case StepKind.REMOVE:
                await engine.remove(name, force=self._force)
            case kind:
                await self._pull(kind, target, stoppable=stoppable)

    async def _pull(self, kind: StepKind, target: PluginTarget, *, stoppable: bool) -> None:
        release, name = target.release, target.name
        if release is None:
            raise Unsupported(f"no registry has the former version of {name}")
        login, progress = self._login(release.remote), _DigestWatch(self._progress(name))
        offered = await self._engine.privileges(release.remote, login)
        # An engine that cannot read the plugin reports no privileges. The pull then tells why.
        if offered and not _equal(offered, release.privileges):
            raise EngineProtocolError(
                f"{release.remote} asks the engine for other privileges than those that were shown: the tag has moved, "
                "or the engine reaches another registry; fix: run the command again"
            )
        asked = release.privileges
        if kind is StepKind.INSTALL:
            work = self._engine.pull(release.remote, name, asked, login=login, progress=progress)
        else:
            work = self._engine.upgrade(name, release.remote, asked, login=login, progress=progress)
        try:
            await (self._until_stopped(work) if stoppable else work)
        except EngineRefused as error:
            # The error itself does not tell if the engine or the registry has failed.
            if release.privileges and not offered:
                raise UpstreamUnreachable(str(error)) from error
            raise
        # Engines do not compare the layers with the digests in the config, so equal configs do not prove equal content.
        if progress.digest not in {None, str(release.digest)}:
            raise _other_content(release.remote)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Await a pull, and cancel it at a request to stop."""
        pull, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({pull, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not pull.done():
                raise _Stopped
            await pull
        finally:
            for task in (pull, stopped):
                task.cancel()
            with suppress(asyncio.CancelledError, MirrorError):
                await pull

    async def _disable(self, name: str) -> None:
        try:
            await self._engine.disable(name, force=self._force)
        except EngineRefused as error:
            if error.status == 409 and "in use" in error.said:
                raise Unsupported(
                    f"{name} is in use by volumes, networks or containers, and was not changed; fix: remove them, or "
                    "disable the plugin all the same with --force"
                ) from error
            raise

    async def _enable(self, name: str) -> None:
        failures = 0
        delays = _ENABLE_AGAIN.delays()
        while True:
            try:
                return await self._engine.enable(name)
            except EngineRefused as error:
                failures += 1
                if _STILL_STOPPING not in error.said or not _ENABLE_AGAIN.allows_another(failures):
                    raise
            await self._pause(next(delays))

    async def _find(self, name: str) -> InstalledPlugin | None:
        return next((plugin for plugin in await self._engine.plugins() if plugin.name == name), None)

    async def _left(self, back: PluginTarget) -> tuple[str, tuple[str, ...]]:
        """Return the state of a plugin that was not rolled back, and the commands that are left to do."""
        try:
            now = await self._find(back.name)
        except MirrorError:
            return "unknown, because the engine does not answer", ()
        steps = steps_between(now, back)
        return state_of(now), tuple(command_of(step, back) for step in steps)


def _equal(offered: Sequence[Privilege], shown: Sequence[Privilege]) -> bool:
    """Return True if two lists have the same privileges. Descriptions differ between engines, and so does the order."""
    return sorted(one.comparable for one in offered) == sorted(one.comparable for one in shown)


def _other_content(remote: str) -> EngineProtocolError:
    return EngineProtocolError(
        f"the engine pulled other content from {remote} than was shown: the tag has moved, or the engine reaches "
        "another registry; fix: run the command again"
    )


def _without_effect(step: PluginStep, target: PluginTarget) -> EngineProtocolError:
    """Return the error for a step that the engine accepted and that changed nothing."""
    match step.kind:
        case StepKind.INSTALL | StepKind.UPGRADE:
            return _other_content("the registry" if target.release is None else target.release.remote)
        case StepKind.SET:
            keys = ", ".join(printable(key, 80) for key in step.settings)
            return EngineProtocolError(
                f"the engine accepted {keys} for {target.name}, and the setting has no effect (engines keep devices "
                "after an upgrade or a restart); fix: remove the plugin and install it again"
            )
        case kind:
            return EngineProtocolError(f"the engine did not {kind.value} {target.name}, and reported no error")
