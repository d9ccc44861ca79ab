"""``plugin-mirror user``: add, import, list and remove users, and change their passwords."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.access.rights import AccessAction
from mirror.cli.options import ConfigOption, DataOption, JsonOption, settings_of
from mirror.cli.printing import MESSAGES, RESULTS, counted, print_done, print_list
from mirror.cli.questions import asking
from mirror.cli.service.user_records import with_users
from mirror.cli.terminal.tables import print_table
from mirror.oci.errors import ConfigurationFault
from mirror.oci.timestamps import machine_time, time_ago
from mirror.records.users import User, UserToken, parse_user_name
from mirror.runtime.clock import SystemClock

if TYPE_CHECKING:
    from mirror.settings import Settings
    from mirror.store.records.sql_users import SqlUsers

#: Bounds memory if standard input is a file or device without line ends.
_MOST_READ_CHARACTERS = 4096
_MOST_FILE_BYTES = 4 * 1024 * 1024

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]


def add(
    name: NameArgument,
    password_stdin: StdinOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Add a user, who may log in from now on.

    The password is asked for twice, or read with --password-stdin. It is never an
    argument.
    """
    from mirror.access.user_accounts import add_user

    settings = settings_of(config, data)
    # An invalid name is reported before the user has typed a password twice.
    parse_user_name(name)
    password = _password(from_stdin=password_stdin)
    # The first user may be added before the server has created the data folder.
    with_users(settings, lambda users: add_user(users, name, password), must_exist=False)
    print_done(f"{name} may log in", {"name": name}, as_json=json)
    _tell_rights(settings, name)


def password(
    name: NameArgument,
    password_stdin: StdinOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Change the password of a user.

    Logins with the old password end immediately. Access tokens stay valid.
    """
    from mirror.access.user_accounts import change_password

    settings = settings_of(config, data)
    given = _password(from_stdin=password_stdin)
    with_users(settings, lambda users: change_password(users, name, given))
    print_done(f"the password of {name} is changed", {"name": name}, as_json=json)


def import_htpasswd(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File made by 'htpasswd -B'.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the passwords of users who exist. Their access tokens stay valid.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Add the users of an htpasswd file, with their passwords.

    The hashes must be bcrypt hashes. If a line cannot be used or a user exists,
    no user is imported, and each mistake is printed with its line number.
    """
    from mirror.access import htpasswd
    from mirror.access.user_accounts import import_users

    settings = settings_of(config, data)
    entries = htpasswd.parse(_read(file), str(file))
    replaced = with_users(settings, lambda users: import_users(users, entries, replaces=replace), must_exist=False)
    added = len(entries) - replaced
    counts = {"added": added, "replaced": replaced}
    print_done(f"{counted(added, 'user')} added, {replaced} replaced", counts, as_json=json)


def _read(file: Path) -> str:
    from mirror.runtime.error_advice import file_words

    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_FILE_BYTES + 1)
        if len(content) > _MOST_FILE_BYTES:
            raise ConfigurationFault(f"{file}: the file is larger than {_MOST_FILE_BYTES} bytes; fix: split it")
        return content.decode("utf-8-sig")  # editors of Windows begin a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"{file} cannot be read: {file_words(error)}") from error


def rm(name: NameArgument, config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Remove a user and all access tokens of this user.

    Running servers refuse both immediately.
    """
    from mirror.records.users import parse_user_name

    parse_user_name(name)
    with_users(settings_of(config, data), lambda users: users.remove_user(name))
    print_done(f"{name} is removed", {"name": name}, as_json=json)


def ls(config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """List users."""
    users, tokens = with_users(settings_of(config, data), _users_and_tokens, only_reads=True)
    counts = Counter(token.user for token in tokens)
    rows = [_as_json(user, counts[user.name]) for user in users]
    nothing = "there are no users; fix: add one with 'plugin-mirror user add NAME'"
    print_list(rows, lambda _: _print(users, counts), nothing, as_json=json)


async def _users_and_tokens(users: SqlUsers) -> tuple[Sequence[User], Sequence[UserToken]]:
    return await users.list_users(), await users.list_tokens()


def _as_json(user: User, tokens: int) -> dict[str, Any]:
    return {"name": user.name, "created_at": machine_time(user.created_at), "tokens": tokens}


def _print(users: Sequence[User], tokens: Counter[str]) -> None:
    now = SystemClock().now()
    rows = [(user.name, time_ago(user.created_at, now), str(tokens[user.name])) for user in users]
    print_table(RESULTS, ("NAME", "CREATED", "TOKENS"), rows, right=["TOKENS"])


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        # Only the line end is removed: a password may begin or end with spaces.
        return sys.stdin.readline(_MOST_READ_CHARACTERS).rstrip("\r\n")
    if not sys.stdin.isatty():
        raise ConfigurationFault("there is no terminal to ask for the password; fix: use --password-stdin")
    with asking():
        answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password", err=True)
    return answer


def _tell_rights(settings: Settings, name: str) -> None:
    """Print notes if the configuration gives the user nothing that anonymous callers do not have."""
    if settings.server.token_issuer is not None:
        MESSAGES.out("note: with server.token_issuer, the users of the data folder cannot log in", highlight=False)
        return
    anyone = settings.server.anonymous_actions
    # On a loopback address anyone may push unless server.anonymous says otherwise, and users protect nothing then.
    if AccessAction.PUSH in anyone:
        MESSAGES.out(
            "note: anonymous callers may push; fix: write 'anonymous: [pull]' under server: to let only users push",
            highlight=False,
        )
    if not any(rule.speaks_of(name) for rule in settings.access_rules):
        MESSAGES.out(
            f"note: no rule under access: names {name}, who has only the rights of anonymous callers; fix: add a rule",
            highlight=False,
        )
