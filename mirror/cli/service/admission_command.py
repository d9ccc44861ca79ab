"""``plugin-mirror admission``: list plugins that the admission policy holds, and approve or reject them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mirror.cli import exit_codes
from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import ALERTS, MESSAGES, RESULTS, print_json
from mirror.cli.questions import confirmed
from mirror.oci import Digest, Reference
from mirror.oci.errors import ConfigurationFault, DigestInvalid
from mirror.oci.timestamps import time_ago
from mirror.records.admission.admissions import Admission, AdmissionState
from mirror.runtime.clock import SystemClock
from mirror.runtime.os_user import os_user_name

if TYPE_CHECKING:
    from mirror.admission.approvals import ApprovalProposal
    from mirror.plugin.policy.privilege_pattern import RequestedPrivilege
    from mirror.settings import Settings

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="REF", help="NAME:TAG or NAME@DIGEST. The digest need not be stored yet.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Name of the person who decides. Default: the login name.")
]
NoteOption = Annotated[
    str, typer.Option("--note", metavar="TEXT", help="Reason for the decision, shown with it later.")
]


def list_(
    state: Annotated[AdmissionState, typer.Option("--state", help="Only plugins in this state.")] = AdmissionState.HELD,
    all_: Annotated[bool, typer.Option("--all", help="Plugins in every state.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List held plugins, or those in another state, with age and reason."""
    from mirror.app.services import open_services

    settings = settings_of(config, data)

    async def read() -> Sequence[Admission]:
        async with open_services(settings, only_reads=True) as services:
            return await services.store.records.admissions.admissions(None if all_ else state, services.policy_id)

    found = run_to_the_end(read())
    if json:
        print_json([admission.to_json() for admission in found])
    elif found:
        _print(found)
    else:
        MESSAGES.out("no plugin is known" if all_ else f"no plugin is {state}")


def approve(
    reference: ReferenceArgument,
    *,
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest", metavar="DIGEST", help="Digest that the tag must point to. No confirmation is needed then."
        ),
    ] = None,
    overrule: Annotated[
        bool,
        typer.Option("--overrule", help="Lift all rejections of this content, under every name. Needs a digest."),
    ] = False,
    by: ByOption = None,
    note: NoteOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Approve a plugin that is held, or that will be, so that it is served.

    A tag may move. So without --digest the command shows which plugin the tag
    points to and what it asks for, and asks you to confirm. Exit code 1: the
    policy denies the plugin, its content was rejected, or you answered no.
    """
    parsed = Reference.parse(reference)
    settings = settings_of(config, data)
    # The digest that was confirmed is approved, even if the tag moves between the question and the answer.
    expected = None if digest is None else _parsed(digest)
    if parsed.digest is None and expected is None:
        # Overruling lifts rejections under every name, so nobody may do it to whatever a tag happens to point to.
        if overrule:
            raise ConfigurationFault(f"--overrule needs a digest, and {parsed} is a tag; fix: write NAME@DIGEST")
        expected = _confirmed(settings, parsed)
    _decide(settings, parsed, by, note, approved=True, overrule=overrule, expected=expected, json=json)


def reject(
    reference: ReferenceArgument,
    *,
    by: ByOption = None,
    note: NoteOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Reject a plugin under every name, until it is approved with --overrule.

    A rejection covers the content, which is the same config and layers under any
    digest. It holds whatever the policy says.
    """
    settings = settings_of(config, data)
    _decide(settings, Reference.parse(reference), by, note, approved=False, json=json)


def _parsed(digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except DigestInvalid as error:
        raise ConfigurationFault(f"--digest: {error}") from error


def _confirmed(settings: Settings, reference: Reference) -> Digest:
    """Show the plugin that a tag points to, ask for confirmation, and return its digest.

    Raises:
        ConfigurationFault: standard input is not a terminal, or the reference names another registry.
        typer.Exit: the user answered no.
    """
    from mirror.app.services import open_services
    from mirror.plugin.policy.privilege_pattern import describe_privilege

    async def propose() -> ApprovalProposal:
        _require_ours(reference)
        async with open_services(settings, must_exist=True) as services:
            return await services.approvals.propose(reference.repository, reference.target)

    proposal = run_to_the_end(propose())
    name = proposal.repository
    if not sys.stdin.isatty():
        raise ConfigurationFault(
            f"{reference} is a tag, which may move, and there is no terminal to ask for confirmation; it points to "
            f"{proposal.digest} now; fix: plugin-mirror admission approve {name}@{proposal.digest}"
        )
    ALERTS.out(f"{reference} points to {proposal.digest}")
    for member, asked in proposal.members:
        ALERTS.out(f"{name}@{member} {_asks_for(asked)}")
        for one in asked or ():
            ALERTS.out(f"  - {describe_privilege(one)}")
    if not confirmed("Approve it?"):
        MESSAGES.out("no decision was recorded")
        raise typer.Exit(exit_codes.ANSWER_IS_NO)
    return proposal.digest


def _asks_for(asked: Sequence[RequestedPrivilege] | None) -> str:
    if asked is None:
        return "cannot be read, so its privileges are unknown"
    return "asks for:" if asked else "asks for no privileges"


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
                # Fail if the tag has moved since its digest was given or confirmed.
                await approvals.require_target(repository, target, expected)
            return await approvals.decide(
                repository,
                expected or target,  # by digest if one was confirmed, because the tag may move again
                approved=approved,
                by=by or os_user_name(),  # the command line has no login
                note=note,
                overrule=overrule,
            )

    decided = run_to_the_end(decide())
    if json:
        print_json([admission.to_json() for admission in decided])
    else:
        for admission in decided:
            RESULTS.out(admission.sentence, highlight=False)
    # An approval overrules a rule that holds, never one that denies (ADR 16).
    if approved and any(not admission.state.is_served for admission in decided):
        raise typer.Exit(exit_codes.ANSWER_IS_NO)


def _require_ours(reference: Reference) -> None:
    if reference.host is not None:
        raise ConfigurationFault(f"{reference} is in another registry; fix: name a plugin in the local store")


def _print(found: Sequence[Admission]) -> None:
    from mirror.plugin.policy.privilege_pattern import describe_privilege

    now = SystemClock().now()
    for one in found:
        tags = f"  ({', '.join(map(str, one.tags))})" if one.tags else ""
        RESULTS.out(f"{one.repository}@{one.digest}{tags}", style="bold", highlight=False)
        # A person's decision has its own time. Otherwise the state began when the policy first saw the plugin.
        since = one.noted_at if one.in_force is None else one.in_force.at
        RESULTS.out(f"  {one.state.value} {time_ago(since, now)}{_why(one)}", highlight=False)
        for asked in one.grown:
            RESULTS.out(f"  + {describe_privilege(asked)}", highlight=False)


def _why(one: Admission) -> str:
    decision, elsewhere = one.in_force, one.rejected_elsewhere
    # A denial comes from the policy, even if somebody has approved the plugin.
    if decision is not None and one.state is not AdmissionState.DENIED:
        as_other = "" if elsewhere is None else f", as {elsewhere.repository}@{elsewhere.digest}"
        return f"{as_other}, by {decision.by}{': ' if decision.note else ''}{decision.note}"
    return "" if one.verdict is None else f", {one.verdict.rule}: it {one.verdict.reason}"
