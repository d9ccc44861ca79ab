"""``plugin-mirror token``: create, list and revoke access tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, print_done, print_json, print_list
from mirror.cli.service.user_records import with_users
from mirror.cli.terminal.tables import print_table
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time, rounded_span, time_ago
from mirror.runtime.clock import SystemClock
from mirror.runtime.durations import parse_duration

if TYPE_CHECKING:
    from mirror.records.users import UserToken

#: A hundred years.
_LONGEST = timedelta(days=36500)


def create(
    user: Annotated[str, typer.Argument(metavar="USER", help="User of the token. It has the rights of this user.")],
    *,
    description: Annotated[str, typer.Option("--description", help="Purpose of the token.")] = "",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="90d", help="Lifetime, such as 90d. Default: it never expires.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Create an access token for a user and print its secret, once.

    The secret is the password in 'docker login --username USER'.
    """
    from mirror.access.user_accounts import create_token

    settings = settings_of(config, data)
    lifetime = None if expires is None else _lifetime(expires)
    token, secret = with_users(settings, lambda users: create_token(users, user, description, lifetime))
    if json:
        print_json({**_as_json(token), "secret": secret})
        return
    # The secret alone goes to standard output, so that a script can read it from there.
    RESULTS.out(secret, highlight=False)
    MESSAGES.out(f"token {token.id} of {token.user}: store the secret now, it is not shown again", highlight=False)


def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="ID of the token, as 'token ls' shows it.")],
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke an access token. Running servers refuse it immediately."""
    with_users(settings_of(config, data), lambda users: users.revoke_token(token_id))
    print_done(f"token {token_id} is revoked", {"id": token_id}, as_json=json)


def ls(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """List access tokens, without their secrets, which are not stored."""
    tokens = with_users(settings_of(config, data), lambda users: users.list_tokens(), only_reads=True)
    nothing = "there are no access tokens; fix: create one with 'plugin-mirror token create USER'"
    print_list([_as_json(token) for token in tokens], lambda _: _print(tokens), nothing, as_json=json)


def _print(tokens: Sequence[UserToken]) -> None:
    now = SystemClock().now()
    rows = [
        (token.id, token.user, time_ago(token.created_at, now), _expiry(token.expires_at, now), token.description)
        for token in tokens
    ]
    print_table(RESULTS, ("ID", "USER", "CREATED", "EXPIRES", "DESCRIPTION"), rows, wrap=["DESCRIPTION"])


def _expiry(moment: datetime | None, now: datetime) -> str:
    return time_ago(moment, now) if moment is None or moment <= now else f"in {rounded_span(moment - now)}"


def _lifetime(text: str) -> timedelta:
    lifetime = parse_duration(text)
    if not timedelta(0) < lifetime <= _LONGEST:
        raise ConfigurationFault(
            f"--expires {text}: a lifetime is at most {_LONGEST.days} days; fix: omit --expires for no limit"
        )
    return lifetime


def _as_json(token: UserToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "user": token.user,
        "description": token.description,
        "created_at": machine_time(token.created_at),
        "expires_at": machine_time(token.expires_at),
    }
