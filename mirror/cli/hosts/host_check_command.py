"""``plugin-mirror host check``: predict if a plugin can be installed and used on a Docker host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.hosts.check_output import forecasts_of, print_checks
from mirror.cli.hosts.host_options import SocketOption, address_of
from mirror.cli.options import ConfigOption, DataOption, JsonOption, pairs, settings_of
from mirror.cli.plugin_sources import PlainHttpOption
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.cli.progress_bars import TagBars
from mirror.oci import Reference
from mirror.oci.printable_text import printable

if TYPE_CHECKING:
    from mirror.hosts.checks.host_check import HostPrediction
    from mirror.hosts.checks.host_facts import HostFacts
    from mirror.hosts.checks.wanted_plugin import WantedPlugin


def run(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="The plugin, as the host installs it: HOST[:PORT]/NAME[:TAG].")
    ],
    *,
    socket: SocketOption = None,
    alias: Annotated[
        str | None, typer.Option("--alias", metavar="NAME[:TAG]", help="Local name that the plugin will have.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting that the plugin will have. Repeatable."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the layers: no check of programs.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    plain_http: PlainHttpOption = False,
    json: JsonOption = False,
) -> None:
    """Predict if a plugin can be installed, enabled and found on a Docker host.

    Asks the engine, and reads the file system if the engine runs on this host. Changes nothing.

    Exit code 1: a step will fail. 3: the engine or the registry cannot be
    reached. 5: you may not open the engine's socket.
    """
    from mirror.app.hosts.host_checking import HostQuestion, check_reference

    asked = HostQuestion(
        Reference.parse(reference),
        address_of(socket),
        None if alias is None else Reference.parse(alias),
        pairs("--set", setting or ()),
        plain_http=plain_http,
    )
    settings = settings_of(config, data)
    with TagBars(MESSAGES) as bars:
        work = check_reference(settings, asked, None if quick else bars.begin(reference))
        facts, wanted, report = run_to_the_end(work)
    if json:
        print_json(_as_json(facts, wanted, report))
    else:
        _print(facts, wanted, report)
    if report.has_problems:
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _as_json(facts: HostFacts, wanted: WantedPlugin, report: HostPrediction) -> dict[str, Any]:
    return {
        "reference": wanted.remote,
        "name": wanted.name,
        "digest": str(wanted.digest),
        "host": facts.info.name,
        "engine": facts.version.version,
        "platform": f"{facts.version.os}/{facts.version.architecture}",
        **{f"will_{step.value.replace(' ', '_')}": forecast.value for step, forecast in report.forecasts.items()},
        "checks": [check.to_json() for check in report.checks],
    }


def _print(facts: HostFacts, wanted: WantedPlugin, report: HostPrediction) -> None:
    title = f"{wanted.remote} on {facts.info.name} (Docker Engine {facts.version.version})"
    RESULTS.out(printable(title), style="bold", highlight=False)
    print_checks(report.checks)
    RESULTS.out(forecasts_of(report), style="bold", highlight=False)
