"""Output of ``host apply``: the plan and the results, for people and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mirror.cli.printing import wrapped
from mirror.hosts.plugin_result import PluginOutcome, PluginResult
from mirror.hosts.plugin_steps import PluginStep, StepKind
from mirror.oci.printable_text import printable
from mirror.plugin.policy.engine_vulnerabilities import UNCOMPARED_PRIVILEGE, Exposure, never_compared

if TYPE_CHECKING:
    from mirror.cli.terminal.output import Output
    from mirror.hosts.host_plan import HostPlan, PlannedPlugin
    from mirror.plugin.config.privileges import Privilege

_STYLES: Mapping[PluginOutcome, str] = {
    PluginOutcome.UNCHANGED: "dim",
    PluginOutcome.DONE: "green",
    PluginOutcome.REFUSED: "bold red",
    PluginOutcome.ROLLED_BACK: "bold red",
    PluginOutcome.STUCK: "bold red",
    PluginOutcome.NOT_DONE: "yellow",
}


def print_plan(console: Output, plan: HostPlan) -> None:
    """Print the changes to each plugin, with the privileges that the engine asks for."""
    same = len(plan.plugins) - len(plan.changes) - len(plan.problems)
    told = [f"{len(plan.changes)} to change", f"{same} as wanted"]
    told += [f"{len(plan.problems)} that cannot be changed"] if plan.problems else []
    console.out(f"Docker Engine {printable(plan.engine, 40)}: {', '.join(told)}", style="bold", highlight=False)
    for plugin in plan.plugins:
        style = "bold red" if plugin.problem else None if plugin.steps else "dim"
        console.out(f"{printable(plugin.name)}: {_headline(plugin)}", style=style, highlight=False)
        for line in _details(plugin, plan.engine):
            shown = f"    {printable(line)}"
            # Digests and settings are copied from the terminal.
            is_prose = not line.startswith(("digest: ", "set "))
            console.out(wrapped(console, shown, 8) if is_prose else shown, highlight=False)
    if any(plugin.privileges for plugin in plan.plugins) and _is_exposed(plan.engine):
        flaw = UNCOMPARED_PRIVILEGE
        warning = f"the engine has {flaw.identifier} and {flaw.effect}; fix: {flaw.remedy}"
        console.out(wrapped(console, printable(warning), 4), style="yellow", highlight=False)
    if plan.others:
        console.out(f"not in the file, left alone: {printable(', '.join(plan.others))}", style="dim", highlight=False)


def print_results(console: Output, results: Iterable[PluginResult]) -> None:
    """Print the outcome for each plugin, and what is left to do by hand."""
    for result in results:
        outcome, reason = result.outcome.value, _reason(result)
        line = f"{printable(result.name)}: {outcome}{f': {reason}' if reason else ''}"
        console.out(line, style=_STYLES[result.outcome], highlight=False)
        if result.left:
            console.out(f"    now: {printable(result.left)}", highlight=False)
        if result.rollback_error is not None:
            console.out(f"    the way back failed: {printable(str(result.rollback_error))}", highlight=False)
        for command in result.commands:
            console.out(f"    fix: {printable(command)}", highlight=False)


def plan_as_json(plan: HostPlan, results: Sequence[PluginResult] = ()) -> dict[str, Any]:
    """Return a plan, with the results as far as there are any."""
    by_name = {result.name: result for result in results}
    return {
        "engine": plan.engine,
        "changes": len(plan.changes),
        "plugins": [_plugin_as_json(plugin, by_name.get(plugin.name)) for plugin in plan.plugins],
        "others": list(plan.others),
    }


def _headline(plugin: PlannedPlugin) -> str:
    if plugin.problem is not None:
        return f"cannot be changed: {printable(str(plugin.problem))}"
    if not plugin.steps:
        return "as wanted" if plugin.target.config is not None else "not installed, as wanted"
    release = plugin.target.release
    pulled = "" if release is None else f" from {release.remote}"
    # "install from mirror:5000/…, set, enable": the reference stands beside the step that pulls.
    return printable(
        ", ".join(
            f"{step.kind.value}{pulled if step.kind in {StepKind.INSTALL, StepKind.UPGRADE} else ''}"
            for step in plugin.steps
        )
    )


def _details(plugin: PlannedPlugin, engine: str) -> Iterator[str]:
    release = plugin.target.release
    if release is not None and plugin.pulls:
        if plugin.now is not None and plugin.now.reference:
            yield f"installed: {plugin.now.reference}"
        yield f"digest: {release.digest}"
    for step in plugin.steps:
        yield from (f"set {key}={value}" for key, value in step.shown_settings.items())
    if plugin.privileges:
        yield "privileges that the engine asks for:"
        yield from _privileges(plugin, plugin.privileges)
        skipped = never_compared([privilege for privilege, _ in plugin.privileges])
        if skipped is not None and _is_exposed(engine):
            yield f"the engine does not check that {skipped} was granted ({UNCOMPARED_PRIVILEGE.identifier})"
    if plugin.reached_by_settings:
        yield "access that the settings give, and that the engine does not ask for:"
        yield from _privileges(plugin, plugin.reached_by_settings)
    yield from (f"note: {note}" for note in plugin.notes)


def _is_exposed(engine: str) -> bool:
    return UNCOMPARED_PRIVILEGE.exposure(engine) is Exposure.AFFECTED


def _privileges(plugin: PlannedPlugin, privileges: Iterable[tuple[Privilege, str]]) -> Iterator[str]:
    for privilege, risk in privileges:
        yield f"- {privilege}{' (new)' if plugin.is_new(privilege) else ''}"
        yield f"    {risk}"


def _reason(result: PluginResult) -> str:
    """Return the reason of an outcome; for a change that was carried out, its steps."""
    if result.error is not None:
        return printable(str(result.error))
    if result.outcome in {PluginOutcome.ROLLED_BACK, PluginOutcome.STUCK}:
        return "interrupted"
    return ", ".join(step.kind.value for step in result.done)


def _plugin_as_json(plugin: PlannedPlugin, result: PluginResult | None) -> dict[str, Any]:
    release = plugin.target.release
    value: dict[str, Any] = {
        "name": plugin.name,
        "installed": plugin.now is not None and {"reference": plugin.now.reference, "enabled": plugin.now.enabled},
        "reference": release and release.remote,
        "digest": release and str(release.digest),
        "steps": [_step_as_json(step) for step in plugin.steps],
        "privileges": [_privilege_as_json(plugin, *pair) for pair in plugin.privileges],
        "reached_by_settings": [_privilege_as_json(plugin, *pair) for pair in plugin.reached_by_settings],
        "notes": list(plugin.notes),
        "problem": plugin.problem and str(plugin.problem),
    }
    if result is not None:
        value |= {
            "outcome": result.outcome.value,
            "done": [step.kind.value for step in result.done],
            "error": result.error and str(result.error),
            "rollback_error": result.rollback_error and str(result.rollback_error),
            "left": result.left,
            "commands": list(result.commands),
        }
    return value


def _step_as_json(step: PluginStep) -> dict[str, Any]:
    return {"step": step.kind.value, **({"settings": step.shown_settings} if step.kind is StepKind.SET else {})}


def _privilege_as_json(plugin: PlannedPlugin, privilege: Privilege, risk: str) -> dict[str, Any]:
    values = list(privilege.values)
    return {"name": privilege.name, "values": values, "risk": risk, "new": plugin.is_new(privilege)}
