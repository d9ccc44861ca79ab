"""``plugin-mirror admission``: which plugins are let in, and what people decide about those that are held."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.oci import Digest, Reference
from mirror.oci.errors import ConfigurationFault, DigestInvalid
from mirror.oci.timestamps import time_ago
from mirror.plugin.policy.privilege_pattern import RequestedPrivilege, describe_privilege
from mirror.records.admissions import Admission, AdmissionState
from mirror.runtime.clock import SystemClock
from mirror.settings import Settings

if TYPE_CHECKING:
    from mirror.admission.approvals import ApprovalProposal

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
    state: Annotated[AdmissionState, typer.Option("--state", help="How the plugins stand.")] = AdmissionState.HELD,
    all_: Annotated[bool, typer.Option("--all", help="All of them, however they stand.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List plugins that are held, or stand in another way: under which names, since when, and why."""
    from mirror.app.services import open_services

    settings = settings_of(config, data)

    async def read() -> Sequence[Admission]:
        async with open_services(settings, must_exist=True) as services:
            return await services.store.records.admissions.admissions(None if all_ else state, services.policy_id)

    found = run_to_the_end(read())
    if json:
        print_json([admission.to_json() for admission in found])
    elif found:
        _print(found)
    else:
        MESSAGES.print("nothing is known of any plugin" if all_ else f"no plugin is {state}", markup=False)


@app.command(epilog='Example: plugin-mirror admission approve contiv/v2plugin@sha256:… --note "ticket 4711"')
def approve(
    reference: ReferenceArgument,
    *,
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="DIGEST", help="What the tag must point to; then nothing is asked."),
    ] = None,
    overrule: Annotated[
        bool, typer.Option("--overrule", help="Lift rejections of the same content, under every name. Needs a digest.")
    ] = False,
    by: ByOption = None,
    note: NoteOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Let in a plugin that is held, or will be. It is served from now on.

    A tag may move: what it points to is shown, with what that asks for, and you are asked. Exit code 1: the policy
    denies the plugin, its content was rejected, or you said no.
    """
    parsed = Reference.parse(reference)
    settings = settings_of(config, data)
    expected = None if digest is None else _parsed(digest)
    if parsed.digest is None and expected is None:
        if overrule:
            raise ConfigurationFault(f"--overrule needs a digest, and {parsed} is a tag: write NAME@DIGEST")
        expected = _confirmed(settings, parsed)
    _decide(settings, parsed, by, note, approved=True, overrule=overrule, expected=expected, json=json)


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
    """Keep a plugin out under every name, whatever the policy says, until it is approved with --overrule.

    What is kept out is the content: the same config and layers under any digest.
    """
    settings = settings_of(config, data)
    _decide(settings, Reference.parse(reference), by, note, approved=False, json=json)


def _parsed(digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except DigestInvalid as error:
        raise ConfigurationFault(f"--digest: {error}") from error


def _confirmed(settings: Settings, reference: Reference) -> Digest:
    """The digest that a tag points to, after somebody has looked at it and said yes."""
    from mirror.app.services import open_services

    async def propose() -> ApprovalProposal:
        _require_ours(reference)
        async with open_services(settings, must_exist=True) as services:
            return await services.approvals.propose(reference.repository, reference.target)

    proposal = run_to_the_end(propose())
    name = proposal.repository
    if not sys.stdin.isatty():
        raise ConfigurationFault(
            f"{reference} is a tag, which may move, and nobody can be asked here: it points to {proposal.digest} now; "
            f"look at that, and write: plugin-mirror admission approve {name}@{proposal.digest}"
        )
    MESSAGES.print(f"{reference} points to {proposal.digest}", markup=False, highlight=False)
    for member, asked in proposal.members:
        MESSAGES.print(f"{name}@{member} {_asks_for(asked)}", markup=False, highlight=False)
        for one in asked or ():
            MESSAGES.print(f"  - {describe_privilege(one)}", markup=False, highlight=False)
    if not typer.confirm("Approve it?", default=False, err=True):
        MESSAGES.print("nothing was decided", markup=False)
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
    return proposal.digest


def _asks_for(asked: Sequence[RequestedPrivilege] | None) -> str:
    if asked is None:
        return "cannot be read, so that nobody knows what it asks for"
    return "asks for:" if asked else "asks for nothing of the host"


def _decide(
    settings: Settings,
    reference: Reference,
    by: str | None,
    note: str,
    *,
    approved: bool,
    json: bool,
    overrule: bool = False,
    expected: Digest | None = None,
) -> None:
    from mirror.app.services import open_services

    async def decide() -> list[Admission]:
        _require_ours(reference)
        repository, target = reference.repository, reference.target
        async with open_services(settings, must_exist=True) as services:
            approvals = services.approvals
            if expected is not None:
                await approvals.require_target(repository, target, expected)
            return await approvals.decide(
                repository,
                expected or target,
                approved=approved,
                by=by or getpass.getuser(),
                note=note,
                overrule=overrule,
            )

    decided = run_to_the_end(decide())
    if json:
        print_json([admission.to_json() for admission in decided])
    else:
        for admission in decided:
            RESULTS.out(admission.sentence, highlight=False)
    if approved and any(not admission.state.is_served for admission in decided):
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _require_ours(reference: Reference) -> None:
    if reference.host is not None:
        raise ConfigurationFault(f"{reference} is in another registry: decide there, or name what is held here")


def _print(found: Sequence[Admission]) -> None:
    now = SystemClock().now()
    for one in found:
        tags = f"  ({', '.join(map(str, one.tags))})" if one.tags else ""
        RESULTS.out(f"{one.repository}@{one.digest}{tags}", style="bold", highlight=False)
        since = one.noted_at if one.in_force is None else one.in_force.at
        RESULTS.out(f"  {one.state.value} {time_ago(since, now)}{_why(one)}", highlight=False)
        for asked in one.grown:
            RESULTS.out(f"  + {describe_privilege(asked)}", highlight=False)


def _why(one: Admission) -> str:
    decision, elsewhere = one.in_force, one.rejected_elsewhere
    if decision is not None and one.state is not AdmissionState.DENIED:
        as_other = "" if elsewhere is None else f", as {elsewhere.repository}@{elsewhere.digest}"
        return f"{as_other}, by {decision.by}{': ' if decision.note else ''}{decision.note}"
    return "" if one.verdict is None else f", {one.verdict.rule}: it {one.verdict.reason}"
