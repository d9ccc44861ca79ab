"""``plugin-mirror token``: long-lived secrets with which machines log in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, new_table, print_json, print_list
from mirror.cli.service.user_records import with_users
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time, rounded_span, time_ago
from mirror.records.users import UserToken
from mirror.runtime.clock import SystemClock
from mirror.sync.schedule import parse_duration

_LONGEST = timedelta(days=36500)

app = typer.Typer(no_args_is_help=True, help="Make and end the secrets with which machines log in.")


@app.command(epilog="Example: plugin-mirror token create anna --description 'build server' --expires 90d")
def create(
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose token it is: it may do what they may.")],
    *,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="90d", help="How long it is good for; without it, for ever.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Make a token and print its secret, once. It is the password in 'docker login --username USER'."""
    from mirror.access.user_accounts import create_token

    settings = settings_of(config, data)
    lifetime = None if expires is None else _lifetime(expires)
    token, secret = with_users(settings, lambda users: create_token(users, user, description, lifetime))
    if json:
        print_json({**_as_json(token), "secret": secret})
        return
    RESULTS.out(secret, highlight=False)
    MESSAGES.out(f"token {token.id} of {token.user}: this is the only time that its secret is shown", highlight=False)


@app.command(epilog="Example: plugin-mirror token revoke 5f0c2a91")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As 'token ls' shows it.")],
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """End a token. Running servers know it at once."""
    with_users(settings_of(config, data), lambda users: users.revoke_token(token_id))
    MESSAGES.out(f"token {token_id} is revoked", highlight=False)


@app.command(epilog="Example: plugin-mirror token ls --json")
def ls(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """List tokens; their secrets are kept nowhere."""
    tokens = with_users(settings_of(config, data), lambda users: users.list_tokens())
    nothing = "there are no access tokens; fix: plugin-mirror token create USER"
    print_list([_as_json(token) for token in tokens], lambda _: _print(tokens), nothing, as_json=json)


def _print(tokens: Sequence[UserToken]) -> None:
    now = SystemClock().now()
    table = new_table("ID", "USER", "CREATED", "EXPIRES")
    table.add_column("DESCRIPTION", overflow="fold")
    for token in tokens:
        created, expiry = time_ago(token.created_at, now), _expiry(token.expires_at, now)
        # A description may hold brackets, which rich reads as markup.
        table.add_row(token.id, token.user, created, expiry, escape(token.description))
    RESULTS.print(table)


def _expiry(moment: datetime | None, now: datetime) -> str:
    return time_ago(moment, now) if moment is None or moment <= now else f"in {rounded_span(moment - now)}"


def _lifetime(text: str) -> timedelta:
    lifetime = parse_duration(text)
    if not timedelta(0) < lifetime <= _LONGEST:
        raise ConfigurationFault(f"--expires {text}: a token is good for at most {_LONGEST.days} days, or for ever")
    return lifetime


def _as_json(token: UserToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "user": token.user,
        "description": token.description,
        "created_at": machine_time(token.created_at),
        "expires_at": machine_time(token.expires_at),
    }
