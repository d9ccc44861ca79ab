"""Plans carried out on an engine that behaves as real ones do, with and without failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.hosts.desired_plugin import DesiredPlugin
from mirror.hosts.engine_api import InstalledPlugin
from mirror.hosts.engine_errors import EngineProtocolError, EngineUnreachable
from mirror.hosts.host_plan import HostPlan
from mirror.hosts.plan_execution import PlanExecution
from mirror.hosts.plugin_result import PluginOutcome, PluginResult
from mirror.hosts.plugin_steps import PluginTarget, steps_between
from mirror.hosts.plugin_values import effective_values, same_content
from mirror.oci import Digest, Reference
from mirror.oci.errors import Unsupported, UpstreamUnreachable
from tests.unit.hosts.fake_engine import GONE, LOST, MISSING, REFUSED, FakeEngine, env, release

MOUNT = {"Name": "data", "Destination": "/data", "Type": "bind", "Options": ["rbind"], "Settable": ["source"]}
DEVICE = {"Name": "dev", "Settable": ["path"]}
ARGS = {"Name": "args", "Settable": ["value"]}
ONE = release("1", Env=[env("A", "one"), env("FIXED", "1", settable=False)], Mounts=[{**MOUNT, "Source": "/one"}])
TWO = release("2", Env=[env("A", "two"), env("B", "new"), env("FIXED", "2", settable=False)])
FREE = release("free", Env=[env("A", None)], Args={**ARGS, "Value": ["-v"]})
DEVICES = release("devices", Env=[env("A", "d")], Linux={"Devices": [{**DEVICE, "Path": "/dev/null"}]})
BROKEN = release("broken", Env=[env("A", "x")], Entrypoint=[MISSING])
RELEASES = (ONE, TWO, FREE, DEVICES, BROKEN)


def desired(tag: str, name: str = "p:1", **given: Any) -> DesiredPlugin:
    return DesiredPlugin("f:1", Reference.parse(f"m:5000/p:{tag}"), name, **given)


async def run(engine: FakeEngine, plan: HostPlan, stop: asyncio.Event | None = None, **options: Any) -> list[Any]:
    async def pause(_: float) -> None:
        await asyncio.sleep(0)

    execution = PlanExecution(engine, stop or asyncio.Event(), pause=pause, **options)
    return [result async for result in execution.run(plan)]


async def apply(engine: FakeEngine, *wanted: DesiredPlugin, **options: Any) -> list[PluginResult]:
    return await run(engine, engine.plan(*wanted), **options)


async def test_an_install_sets_and_enables():
    engine = FakeEngine(RELEASES)
    (result,) = await apply(engine, desired("1", settings={"A": "x", "data.source": "/srv"}))
    assert result.outcome is PluginOutcome.DONE
    assert engine.calls == ["pull p:1", "set p:1", "enable p:1"]
    found = engine.found("p:1")
    assert found is not None
    assert effective_values(found) == {"A": "x", "data": "/srv"}
    (again,) = await apply(engine, desired("1", settings={"A": "x", "data": "/srv"}))
    assert again.outcome is PluginOutcome.UNCHANGED


async def test_a_setting_that_is_left_out_gets_its_default_again():
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("1", settings={"A": "x"}))
    engine.calls.clear()
    await apply(engine, desired("1"))
    assert engine.calls == ["disable p:1", "set p:1", "enable p:1"]
    found = engine.found("p:1")
    assert found is not None
    assert effective_values(found)["A"] == "one"


async def test_an_upgrade_sets_the_defaults_of_the_new_version():
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("1", settings={"A": "x"}))
    engine.calls.clear()
    (planned,) = engine.plan(desired("2")).plugins
    said = "after the upgrade, variable FIXED=2 of the new version does not apply; fix: add 'replace: true'"
    assert planned.notes == (said,)
    await apply(engine, desired("2"))
    assert engine.calls == ["disable p:1", "upgrade p:1", "set p:1", "enable p:1"]
    found = engine.found("p:1")
    assert found is not None
    assert found.settings.env == ("A=two", "FIXED=1", "B=new")
    (again,) = engine.plan(desired("2")).plugins
    kept = "since an upgrade, variable FIXED=2 of the new version does not apply; fix: remove and install the plugin"
    assert (again.steps, again.notes) == ((), (kept,))


async def test_a_replaced_plugin_has_all_defaults():
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("1", settings={"A": "x"}))
    engine.calls.clear()
    await apply(engine, desired("2", replace=True))
    assert engine.calls == ["disable p:1", "remove p:1", "pull p:1", "enable p:1"]
    found = engine.found("p:1")
    assert found is not None
    assert found.settings.env == ("A=two", "B=new", "FIXED=2")


@pytest.mark.parametrize("replace", [False, True])
async def test_a_version_that_does_not_start_gives_way_to_the_old_one(replace: bool):
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("1", settings={"A": "x", "data": "/srv"}))
    (result,) = await apply(engine, desired("broken", replace=replace))
    assert result.outcome is PluginOutcome.ROLLED_BACK
    assert MISSING in str(result.error)
    found = engine.found("p:1")
    assert found is not None
    assert found.enabled
    assert same_content(found.config, ONE.config)
    assert effective_values(found) == {"A": "x", "data": "/srv"}


async def test_a_new_plugin_that_does_not_start_is_removed_and_others_go_on():
    engine = FakeEngine(RELEASES)
    first, second = await apply(engine, desired("broken", "a:1"), desired("1", "b:1"))
    assert (first.outcome, second.outcome) == (PluginOutcome.ROLLED_BACK, PluginOutcome.DONE)
    assert engine.found("a:1") is None


async def test_an_upgrade_without_a_way_back_needs_consent():
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("1"))
    del engine.registry[ONE.remote]
    (planned,) = engine.plan(desired("2")).plugins
    assert isinstance(planned.problem, Unsupported)
    assert planned.steps == ()
    (result,) = await run(engine, engine.plan(desired("2"), without_rollback=True))
    assert result.outcome is PluginOutcome.DONE


async def test_a_plugin_that_cannot_go_back_is_told_with_what_is_left_to_do():
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("1", settings={"A": "x"}))
    plan = engine.plan(desired("broken"))
    # The third call enables and fails by itself. The fourth is the way back.
    engine.fail(None, None, None, REFUSED)
    (result,) = await run(engine, plan)
    assert result.outcome is PluginOutcome.STUCK
    assert MISSING in str(result.error)
    assert result.left == "installed from m:5000/p:broken, disabled"
    assert result.commands[0] == "docker plugin upgrade --skip-remote-check p:1 m:5000/p:1"
    assert result.commands[-1] == "docker plugin enable p:1"


async def test_a_plugin_in_use_is_not_changed():
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("1"))
    engine.used.add("p:1")
    (result,) = await apply(engine, desired("2"))
    assert (result.outcome, result.done) == (PluginOutcome.REFUSED, ())
    assert "is in use by volumes" in str(result.error)
    (forced,) = await apply(engine, desired("2"), force=True)
    assert forced.outcome is PluginOutcome.DONE


async def test_enabling_is_tried_again_while_the_engine_stops_the_old_process():
    engine = FakeEngine(RELEASES)
    engine.slow_enables = 3
    (result,) = await apply(engine, desired("1"))
    assert result.outcome is PluginOutcome.DONE
    assert engine.calls.count("enable p:1") == 4
    engine.slow_enables = 100
    (result,) = await apply(engine, desired("1", "q:1"))
    assert result.outcome is PluginOutcome.ROLLED_BACK


async def test_a_device_that_the_engine_does_not_set_is_not_taken_for_set():
    engine = FakeEngine(RELEASES)
    await apply(engine, desired("devices"))
    engine.restart()
    (result,) = await apply(engine, desired("devices", settings={"dev": "/dev/full"}))
    assert result.outcome is PluginOutcome.ROLLED_BACK
    assert "has no effect" in str(result.error)
    found = engine.found("p:1")
    assert found is not None
    assert found.enabled
    (planned,) = engine.plan(desired("1")).plugins
    assert planned.problem is None
    await apply(engine, desired("1"))
    (planned,) = engine.plan(desired("devices", settings={"dev": "/dev/full"})).plugins
    assert "replace: true" in str(planned.problem)


async def test_a_tag_that_moves_after_the_plan_is_noticed():
    engine = FakeEngine(RELEASES)
    plan = engine.plan(desired("1"))
    engine.registry[ONE.remote] = release("moved", Mounts=[{**MOUNT, "Source": "/"}])
    (result,) = await run(engine, plan)
    assert result.outcome is PluginOutcome.REFUSED
    assert isinstance(result.error, EngineProtocolError)
    assert engine.calls == []
    engine.registry[ONE.remote] = release("same privileges", Mounts=[{**MOUNT, "Source": "/one"}])
    (result,) = await run(engine, plan)
    assert "other content" in str(result.error)
    assert engine.found("p:1") is None
    engine.registry[ONE.remote] = replace(ONE, digest=Digest.of(b"other layers under the same config"))
    (result,) = await run(engine, plan)
    assert "other content" in str(result.error)
    assert engine.found("p:1") is None


async def test_a_registry_that_only_the_engine_cannot_read_has_failed_and_not_the_plugin():
    engine = FakeEngine(RELEASES)
    plan = engine.plan(desired("1"))
    engine.registry.clear()
    (result,) = await run(engine, plan)
    assert result.outcome is PluginOutcome.REFUSED
    assert isinstance(result.error, UpstreamUnreachable)
    assert str(result.error) == "the engine did not: error resolving plugin reference: m:5000/p:1"


async def test_privileges_that_the_installed_version_does_not_have_are_new():
    engine = FakeEngine(RELEASES)
    (first,) = engine.plan(desired("1")).plugins
    await apply(engine, desired("2"))
    (planned,) = engine.plan(desired("1")).plugins
    assert [first.is_new(privilege) for privilege, _ in first.privileges] == [False]
    assert [planned.is_new(privilege) for privilege, _ in planned.privileges] == [True]


async def test_a_plugin_that_was_changed_after_the_plan_is_left_alone():
    engine = FakeEngine(RELEASES)
    plan = engine.plan(desired("1"))
    await apply(engine, desired("2"))
    (result,) = await run(engine, plan)
    assert result.outcome is PluginOutcome.REFUSED
    assert str(result.error) == "p:1 has changed since the plan was made; fix: run the command again"


async def test_a_change_is_kept_if_only_its_answer_was_lost():
    engine = FakeEngine(RELEASES, faults=[LOST] * 3)
    (result,) = await apply(engine, desired("1", settings={"A": "x"}))
    assert result.outcome is PluginOutcome.DONE
    assert engine.calls == ["pull p:1", "set p:1", "enable p:1"]


async def test_an_engine_that_is_gone_ends_the_execution():
    engine = FakeEngine(RELEASES, faults=[None, GONE])
    first, second = await apply(engine, desired("1", "a:1"), desired("1", "b:1"))
    assert first.outcome is PluginOutcome.STUCK
    assert isinstance(first.rollback_error, EngineUnreachable)
    assert first.left == "unknown, because the engine does not answer"
    assert second.outcome is PluginOutcome.NOT_DONE


async def test_a_request_to_stop_cancels_the_pull_and_goes_back():
    engine, stop = FakeEngine(RELEASES), asyncio.Event()
    pulling = asyncio.Event()

    async def endless(*_: Any, **__: Any) -> None:
        pulling.set()
        await asyncio.Event().wait()

    await apply(engine, desired("1"))
    engine.upgrade = endless  # type: ignore[method-assign]
    running = asyncio.create_task(run(engine, engine.plan(desired("2"), desired("1", "b:1")), stop))
    await pulling.wait()
    stop.set()
    first, second = await running
    assert (first.outcome, first.error) == (PluginOutcome.ROLLED_BACK, None)
    assert second.outcome is PluginOutcome.NOT_DONE
    found = engine.found("p:1")
    assert found is not None
    assert found.enabled
    assert found.reference == ONE.remote


SETTINGS = {
    "1": st.fixed_dictionaries({}, optional={"A": st.sampled_from("xy"), "data": st.just("/srv")}),
    "2": st.fixed_dictionaries({}, optional={"A": st.sampled_from("xy"), "B.value": st.just("z")}),
    "free": st.fixed_dictionaries({}, optional={"A": st.just(""), "args": st.sampled_from(["", "-a -b"])}),
    "devices": st.fixed_dictionaries({}, optional={"dev": st.just("/dev/full")}),
    "broken": st.just({}),
}
NAMES = ("a:1", "b:1", "c:1")


@st.composite
def wanted_states(draw: st.DrawFn) -> list[DesiredPlugin]:
    wanted = []
    for name in NAMES:
        match draw(st.sampled_from([*SETTINGS, "absent", "unnamed"])):
            case "unnamed":
                pass
            case "absent":
                wanted.append(desired("1", name, present=False))
            case tag:
                flags = {"enabled": draw(st.booleans()), "replace": draw(st.booleans())}
                wanted.append(desired(tag, name, settings=draw(SETTINGS[tag]), **flags))
    return wanted


faults = st.lists(st.sampled_from([None, None, None, REFUSED, LOST, GONE]), max_size=14)


@given(st.lists(wanted_states(), min_size=1, max_size=3), st.booleans(), wanted_states(), faults)
async def test_each_plugin_ends_in_its_old_or_new_state_and_the_result_is_true(
    before: Sequence[list[DesiredPlugin]], restarted: bool, wanted: list[DesiredPlugin], failing: list[str | None]
) -> None:
    engine = FakeEngine(RELEASES)
    for earlier in before:
        await apply(engine, *earlier)
    if restarted:
        engine.restart()
    plan = engine.plan(*wanted)
    untouched = {name: engine.found(name) for name in NAMES}
    engine.fail(*failing)
    results = await run(engine, plan)
    assert [result.name for result in results] == [one.name for one in wanted]
    for planned, result in zip(plan.plugins, results, strict=True):
        now = engine.found(result.name)
        match result.outcome:
            case PluginOutcome.DONE:
                assert steps_between(now, planned.target) == ()
            case PluginOutcome.UNCHANGED | PluginOutcome.REFUSED | PluginOutcome.NOT_DONE:
                assert now == untouched[result.name]
            case PluginOutcome.ROLLED_BACK:
                assert _is_back(now, untouched[result.name])
            case PluginOutcome.STUCK:
                assert any(fault is not None for fault in failing)
                assert result.rollback_error is not None
                assert GONE in failing or result.commands
    named = {one.name for one in wanted}
    assert all(engine.found(name) == untouched[name] for name in NAMES if name not in named)
    if all(result.outcome in {PluginOutcome.DONE, PluginOutcome.UNCHANGED} for result in results):
        assert engine.plan(*wanted).changes == ()


@given(st.lists(wanted_states(), min_size=1, max_size=3), wanted_states())
async def test_without_failures_a_second_plan_is_empty(
    before: Sequence[list[DesiredPlugin]], wanted: list[DesiredPlugin]
) -> None:
    engine = FakeEngine(RELEASES)
    for earlier in before:
        await apply(engine, *earlier)
    results = await apply(engine, *wanted)
    again = engine.plan(*wanted)
    for planned, result in zip(again.plugins, results, strict=True):
        if result.outcome in {PluginOutcome.DONE, PluginOutcome.UNCHANGED}:
            assert planned.steps == ()
        else:
            # Only versions that do not start, and devices that engines do not set, fail.
            config = planned.target.config
            assert planned.problem is not None or config in {BROKEN.config, DEVICES.config}


def _is_back(now: InstalledPlugin | None, old: InstalledPlugin | None) -> bool:
    """Return True if a plugin has its former version, state and values. Variables that were added may stay."""
    if old is None or now is None:
        return now is old
    return now.reference == old.reference and steps_between(now, PluginTarget.of_installed(now.name, old, None)) == ()
