"""``plugin-mirror admission``: which plugins are let in, and what people decide about those that are held."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.options import ConfigOption, DataOption, JsonOption, flags
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.cli.running import run_to_the_end
from mirror.oci.names import Reference
from mirror.plugin.privilege_pattern import shown
from mirror.registry.admissions import Admission, State
from mirror.settings import load

app = typer.Typer(no_args_is_help=True, help="See which plugins the admission policy holds, and decide about them.")

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="REF", help="NAME:TAG or NAME@DIGEST; a digest need not be here yet.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who decides; else the user of this machine.")
]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for whoever looks at it later.")]


@app.command("ls", epilog="Example: plugin-mirror admission ls --config config/admission.yaml")
def list_(
    state: Annotated[State, typer.Option("--state", help="How the plugins stand.")] = State.HELD,
    all_: Annotated[bool, typer.Option("--all", help="All of them, however they stand.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List plugins that are held, or stand in another way: under which names, since when, and why."""
    from mirror.app.admission import list_admissions

    settings = load(config, flags(storage__path=data))
    found = run_to_the_end(list_admissions(settings, None if all_ else state))
    if json:
        print_json([admission.to_json() for admission in found])
    elif found:
        _print(found)
    else:
        MESSAGES.print("nothing is known of any plugin" if all_ else f"no plugin is {state}", markup=False)


@app.command(epilog='Example: plugin-mirror admission approve contiv/v2plugin:1.0 --note "ticket 4711"')
def approve(
    reference: ReferenceArgument,
    *,
    by: ByOption = None,
    note: NoteOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Let in a plugin that is held, or will be. It is served from now on; exit code 1 where the policy denies it."""
    _decide(reference, by, note, (config, data, json), approved=True)


@app.command(epilog='Example: plugin-mirror admission reject contiv/v2plugin:1.0 --note "wants the whole host"')
def reject(
    reference: ReferenceArgument,
    *,
    by: ByOption = None,
    note: NoteOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Keep a plugin out, whatever the policy says of it, until it is approved."""
    _decide(reference, by, note, (config, data, json), approved=False)


def _decide(
    text: str, by: str | None, note: str, options: tuple[ConfigOption, DataOption, bool], *, approved: bool
) -> None:
    from mirror.app.admission import decide

    config, data, json = options
    settings = load(config, flags(storage__path=data))
    deciding = decide(settings, Reference.parse(text), approved=approved, by=by or getpass.getuser(), note=note)
    decided = run_to_the_end(deciding)
    if json:
        print_json([admission.to_json() for admission in decided])
    else:
        for admission in decided:
            RESULTS.out(admission.sentence, highlight=False)
    if any(admission.state is State.DENIED for admission in decided):
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _print(found: Sequence[Admission]) -> None:
    for one in found:
        tags = f"  ({', '.join(map(str, one.tags))})" if one.tags else ""
        RESULTS.out(f"{one.repository}@{one.digest}{tags}", style="bold", highlight=False)
        since = one.noted_at if one.decision is None else one.decision.at
        RESULTS.out(f"  {one.state.value} since {since:%Y-%m-%d %H:%M} UTC{_why(one)}", highlight=False)
        for asked in one.grown:
            RESULTS.out(f"  + {shown(asked)}", highlight=False)


def _why(one: Admission) -> str:
    if one.decision is not None:
        return f", by {one.decision.by}{': ' if one.decision.note else ''}{one.decision.note}"
    return "" if one.verdict is None else f", {one.verdict.rule}: it {one.verdict.reason}"
