"""``plugin-mirror token``: long-lived secrets with which machines log in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mirror.cli.async_command import run_to_the_end
from mirror.cli.options import ConfigOption, DataOption, JsonOption, flags
from mirror.cli.printing import MESSAGES, RESULTS, print_json
from mirror.oci.errors import ConfigurationFault
from mirror.records.users import UserToken
from mirror.settings import load
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
    from mirror.app.services import open_store

    settings = load(config, flags(storage__path=data))
    lifetime = None if expires is None else _lifetime(expires)

    async def work() -> tuple[UserToken, str]:
        async with open_store(settings, must_exist=True) as store:
            return await create_token(store.records.users, user, description, lifetime)

    token, secret = run_to_the_end(work())
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
    from mirror.app.services import open_store

    settings = load(config, flags(storage__path=data))

    async def work() -> None:
        async with open_store(settings, must_exist=True) as store:
            await store.records.users.revoke_token(token_id)

    run_to_the_end(work())
    MESSAGES.out(f"token {token_id} is revoked", highlight=False)


@app.command(epilog="Example: plugin-mirror token ls --json")
def ls(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """List tokens; their secrets are kept nowhere."""
    from mirror.app.services import open_store

    settings = load(config, flags(storage__path=data))

    async def read() -> list[dict[str, Any]]:
        async with open_store(settings, must_exist=True) as store:
            return [_as_json(token) for token in await store.records.users.list_tokens()]

    found = run_to_the_end(read())
    if json:
        print_json(found)
    elif found:
        table = Table("ID", "USER", "CREATED", "EXPIRES", box=None, pad_edge=False, header_style="bold")
        table.add_column("DESCRIPTION", overflow="fold")
        for row in found:
            table.add_row(
                row["id"], row["user"], row["created_at"], row["expires_at"] or "never", escape(row["description"])
            )
        RESULTS.print(table)
    else:
        MESSAGES.print("there are no tokens: 'plugin-mirror token create USER' makes one", markup=False)


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
