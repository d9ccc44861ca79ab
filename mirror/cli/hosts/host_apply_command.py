"""``plugin-mirror host apply`` and ``host schema``: give a host the plugins that it should have."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.hosts.host_options import SocketOption, address_of
from mirror.cli.options import JsonOption
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.cli.progress_bars import byte_bars
from mirror.cli.questions import confirmed
from mirror.hosts.engine_errors import EngineUnreachable
from mirror.oci import Digest
from mirror.oci.errors import ConfigurationFault, Denied, DigestInvalid, MirrorError, UpstreamFault

if TYPE_CHECKING:
    from typing import TypeAlias

    from mirror.hosts.engine_address import EngineAddress
    from mirror.hosts.engine_api import PullProgress, PullStep, RegistryLogin
    from mirror.hosts.host_plan import HostPlan
    from mirror.hosts.plugin_result import PluginResult

    LoginOf: TypeAlias = Callable[[str], RegistryLogin | None]


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File with the plugins that the host should have.")],
    *,
    socket: SocketOption = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(
            "--grant", metavar="DIGEST", help="Grant the privileges of the plugin with this digest. Repeatable."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Grant all privileges, and do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan only.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Disable and remove plugins that are in use, too.")] = False,
    without_rollback: Annotated[
        bool,
        typer.Option("--without-rollback", help="Upgrade a plugin although no registry has the installed version."),
    ] = False,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Give a Docker host the plugins of a file.

    Compares the file with the host, prints the changes with the privileges that
    they need, asks once, and carries the changes out. A change that fails is
    rolled back to the old version and its settings. A second run changes nothing.

    Exit code 1: a plugin cannot be changed, its change failed, you answered no,
    or another run is changing the engine. 3: the engine or a registry cannot be
    reached. 4: interrupted; the running change was rolled back. 5: you may not
    open the engine's socket.
    """
    from mirror.cli.hosts.host_plan_output import plan_as_json, print_plan, print_results
    from mirror.hosts.host_lock import host_lock
    from mirror.settings.host_file import load_host_file

    granted = [_digest(text) for text in grant or ()]
    desired, address = load_host_file(file), address_of(socket)

    async def plan_host() -> tuple[HostPlan, LoginOf, str]:
        from mirror.app.hosts.host_applying import HostPlanner
        from mirror.hosts.engine_client import EngineClient

        async with EngineClient.open(address) as engine:
            info = await engine.info()
            planner = HostPlanner(engine, info, os.environ, plain_http=plain_http)
            plan = await planner.plan(desired, without_rollback=without_rollback)
            return plan, planner.login, info.engine_id

    plan, login, engine_id = run_to_the_end(plan_host())
    if not json:
        print_plan(RESULTS, plan)
    if dry_run:
        if json:
            print_json(plan_as_json(plan))
        _exit(_exit_code([plugin.problem for plugin in plan.problems]))
        return
    if plan.changes:
        if json and sys.stdin.isatty():
            print_plan(MESSAGES, plan)
        _ask(plan, granted, yes=yes)
    with host_lock(engine_id if plan.changes else ""):
        results, stopped = run_to_the_end(_carried_out(plan, address, login, force=force))
    if json:
        print_json(plan_as_json(plan, results))
    elif plan.changes:
        RESULTS.out()
        print_results(RESULTS, [result for result in results if result.outcome.value != "unchanged"])
    errors = [error for result in results for error in (result.error, result.rollback_error)]
    _exit(exit_codes.INTERRUPTED if stopped else _exit_code(errors))


def schema() -> None:
    """Print the JSON Schema of the file for 'host apply', for editors."""
    from mirror.settings.host_file import host_file_schema

    print_json(host_file_schema())


async def _carried_out(
    plan: HostPlan, address: EngineAddress, login: LoginOf, *, force: bool
) -> tuple[list[PluginResult], bool]:
    """Carry a plan out, and return the results, and True if the user stopped it."""
    from mirror.hosts.engine_client import EngineClient
    from mirror.hosts.plan_execution import PlanExecution
    from mirror.runtime.shutdown_signals import stop_requested

    with stop_requested() as stop, _bars() as progress:
        async with EngineClient.open(address) as engine:
            execution = PlanExecution(engine, stop, force=force, progress=progress, login=login)
            return [result async for result in execution.run(plan)], stop.is_set()


def _ask(plan: HostPlan, granted: Sequence[Digest], *, yes: bool) -> None:
    """Ask if the changes shall be made, unless the options answer it.

    Raises:
        Denied: privileges are not granted, and there is no terminal to ask.
        typer.Exit: the user answered no.
        Interrupted: the user gave no answer.
    """
    missing = plan.ungranted(granted)
    terminal = sys.stdin.isatty()
    if yes or (not missing and (granted or not terminal)):
        return
    if not terminal:
        names = ", ".join(plugin.name for plugin in missing)
        options = " ".join(dict.fromkeys(f"--grant {plugin.to_grant}" for plugin in missing))
        raise Denied(
            f"the privileges of {names} are not granted, and there is no terminal to ask; nothing was changed; fix: "
            f"read the plan, then add {options}"
        )
    question = "Grant these privileges and make the changes?" if missing else "Make the changes?"
    if not confirmed(question):
        MESSAGES.out("nothing was changed")
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


@contextmanager
def _bars() -> Iterator[Callable[[str], PullProgress | None]]:
    """Yield a function that returns a progress bar for the pull of a plugin; None if there is no terminal."""
    if not MESSAGES.is_terminal:
        yield lambda _: None
        return
    with byte_bars(MESSAGES) as bars:

        def begin(name: str) -> PullProgress:
            task, seen = bars.add_task(name, total=None), dict[tuple[str, str], tuple[int, int]]()

            def show(step: PullStep) -> None:
                # Layers are downloaded and then extracted, and both take time.
                if step.done_bytes is not None and step.total_bytes:
                    seen[step.layer, step.status] = (step.done_bytes, step.total_bytes)
                    done, total = (sum(numbers) for numbers in zip(*seen.values(), strict=True))
                    bars.update(task, completed=done, total=total)

            return show

        yield begin


def _exit_code(errors: Iterable[MirrorError | None]) -> int:
    known = [error for error in errors if error is not None]
    if any(isinstance(error, EngineUnreachable | UpstreamFault) for error in known):
        return exit_codes.OTHER_SIDE_FAILED
    return exit_codes.ANSWER_IS_NO if known else exit_codes.DONE


def _exit(code: int) -> None:
    if code != exit_codes.DONE:
        raise typer.Exit(code)


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except DigestInvalid as error:
        raise ConfigurationFault(f"--grant: {error}") from error
