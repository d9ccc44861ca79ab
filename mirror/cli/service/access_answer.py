"""The answer of ``config check --as``: whether a caller may do something, and by which access rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirror.access.caller_names import CLIENT_PREFIX
from mirror.access.certificates.client_identity import ClientIdentity, IdentityPattern
from mirror.access.issuer.issued_tokens import ISSUED_ACTIONS
from mirror.access.rights import AccessAction, Rights, phrase
from mirror.access.rules import UserRights
from mirror.app.access_control import anonymous_rights
from mirror.cli.printing import MESSAGES
from mirror.cli.service.user_records import with_users
from mirror.oci import Repository
from mirror.oci.errors import ConfigurationFault, MirrorError
from mirror.records.users import parse_user_name

if TYPE_CHECKING:
    from mirror.settings import Settings
    from mirror.settings.access_settings import AccessSettings

#: Stands for a caller without a login and without a certificate.
ANONYMOUS = "anonymous"
#: Stands for every repository, as in access rules.
_EVERY_REPOSITORY = "**"


def answer(settings: Settings, name: str, action: str, repository: str) -> tuple[bool, str]:
    """Return whether a caller may do something, and a text with what decides. Notes go to standard error.

    Args:
        settings: the configuration.
        name: user, ``anonymous``, or the name of a client with a certificate: ``cert:CN=host-12``.
        action: action of access rules.
        repository: name of a repository, or ``**`` for every repository.

    Raises:
        NameInvalid: the name or the repository is outside the grammar.
        ConfigurationFault: there is no such action, the name means several clients, or the token issuer decides.
    """
    wanted = _action(action)
    where = None if repository == _EVERY_REPOSITORY else Repository.parse(repository)
    rights = _rights(settings, name)
    issuer = settings.server.token_issuer
    is_issued = issuer is not None and isinstance(rights, UserRights) and not name.startswith(CLIENT_PREFIX)
    if is_issued and wanted in ISSUED_ACTIONS and not rights.allows(wanted, where):
        raise ConfigurationFault(
            f"the issuer of tokens decides whether {name} may {wanted.value}, and no rule here; fix: ask the server of "
            "server.token_issuer"
        )
    what = phrase(wanted, where) if where else f"{wanted.value} of every repository"
    if settings.server.read_only and wanted in {AccessAction.PUSH, AccessAction.DELETE}:
        _note("server.read_only is true, so the server changes nothing, whoever asks")
    if rights.allows(wanted, where):
        return True, f"yes: {what} is allowed to {name}, {_by(settings, rights, wanted, where)}"
    told = f"no: {rights.refusal(wanted, where)}"
    if isinstance(rights, UserRights):
        numbers = ", ".join(str(settings.access_rules.index(rule) + 1) for rule in rights.rules) or "none"
        told += f"\nrules under access: for {name}: {numbers}"
    return False, told


def _action(text: str) -> AccessAction:
    try:
        return AccessAction(text)
    except ValueError as error:
        known = ", ".join(each.value for each in AccessAction)
        raise ConfigurationFault(f"{text!r} is not an action; fix: use one of {known}") from error


def _rights(settings: Settings, name: str) -> Rights:
    """Return the rights that the server gives the caller, and print why they may differ from the rules."""
    anyone = anonymous_rights(settings)
    if name == ANONYMOUS:
        if any(name in rule.users for rule in settings.access_rules):
            _note("'anonymous' stands for a caller without a login here, and not for the user of this name")
        return anyone
    if name.startswith(CLIENT_PREFIX):
        pattern = IdentityPattern.parse(name).text
        if "*" in pattern:
            raise ConfigurationFault(f"{name!r} names several clients; fix: write the name of one client")
        if settings.client_ca is None:
            _note("server.tls.client_ca is not set, so clients show no certificates and are anonymous")
            return anyone
        return UserRights.of_client(ClientIdentity((pattern,)), settings.access_rules, anyone)
    parse_user_name(name)
    if not settings.server.logins:
        _note("server.logins is false, so nobody can log in, and every user is anonymous")
        return anyone
    if settings.server.token_issuer is None:
        _tell_whether_known(settings, name)
    else:
        _note("with server.token_issuer, a token must name the action too")
    return UserRights.of(name, settings.access_rules, anyone)


def _tell_whether_known(settings: Settings, name: str) -> None:
    try:
        user = with_users(settings, lambda users: users.find_user(name), only_reads=True)
    except MirrorError as error:  # the configuration may be checked on another machine than that of the server
        _note(f"whether there is a user {name} is not known: {error}")
        return
    if user is None:
        _note(f"there is no user {name} in {settings.storage.path}; fix: add one with 'plugin-mirror user add {name}'")


def _by(settings: Settings, rights: Rights, action: AccessAction, repository: Repository | None) -> str:
    rule = rights.deciding(action, repository) if isinstance(rights, UserRights) else None
    # Anonymous rights come first: without any rule, the answer would be the same.
    if rule is None or anonymous_rights(settings).allows(action, repository):
        allowed = ", ".join(each.value for each in AccessAction if each in settings.server.anonymous_actions)
        return f"as to everybody, by server.anonymous: [{allowed}]"
    number = settings.access_rules.index(rule) + 1
    return f"by rule {number} under access:{_lines(settings.access[number - 1])}"


def _lines(section: AccessSettings) -> str:
    actions = [action.value for action in section.actions]
    keys = {"users": section.users, "repositories": section.repositories, "actions": actions}
    return "".join(f"\n  {key}: {', '.join(values)}" for key, values in keys.items())


def _note(text: str) -> None:
    MESSAGES.out(f"note: {text}", highlight=False)
