"""``plugin-mirror token``: long-lived secrets with which machines log in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, new_table, print_json, print_list
from mirror.cli.service.user_records import with_users
from mirror.oci.errors import ConfigurationFault
from mirror.records.users import UserToken
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
    found = [_as_json(token) for token in tokens]
    print_list(found, _print, "there are no tokens: 'plugin-mirror token create USER' makes one", as_json=json)


def _print(rows: list[dict[str, Any]]) -> None:
    table = new_table("ID", "USER", "CREATED", "EXPIRES")
    table.add_column("DESCRIPTION", overflow="fold")
    for row in rows:
        table.add_row(
            row["id"], row["user"], row["created_at"], row["expires_at"] or "never", escape(row["description"])
        )
    RESULTS.print(table)


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
        "created_at": _moment(token.created_at),
        "expires_at": _moment(token.expires_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
