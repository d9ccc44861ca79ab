"""Users and their access tokens, in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mirror.oci.errors import ClientFault, NotFound
from mirror.records.changes.change import Change, ChangeKind
from mirror.records.users import User, UserToken
from mirror.store.catalog.change_rows import note_change
from mirror.store.catalog.tables.access_tables import user_tokens, users
from mirror.store.store_services import StoreServices

Found = TypeVar("Found")

_ANY = select(func.count()).select_from(select(users.c.name).limit(1).subquery())
_USER = select(users).where(users.c.name == bindparam("wanted"))
_CHANGE = update(users).where(users.c.name == bindparam("wanted")).values(password_hash=bindparam("password_hash"))
_TOKEN = select(user_tokens).where(user_tokens.c.id == bindparam("wanted"))
_TOKEN_BY_SECRET = select(user_tokens).where(user_tokens.c.secret_hash == bindparam("wanted"))


class SqlUsers:
    """Implements :class:`mirror.records.users.Users`, and changes users and their access tokens."""

    def __init__(self, services: StoreServices) -> None:
        self._catalog = services.catalog
        self._cache = services.cache
        self._clock = services.clock

    async def has_users(self) -> bool:
        return await self._known(("users", ""), lambda connection: bool(connection.execute(_ANY).scalar_one()))

    async def find_user(self, name: str) -> User | None:
        def find(connection: Connection) -> User | None:
            row = connection.execute(_USER, {"wanted": name}).one_or_none()
            return None if row is None else User(**row._mapping)

        return await self._known(("user", name), find)

    async def find_token(self, token_id: str) -> UserToken | None:
        def find(connection: Connection) -> UserToken | None:
            row = connection.execute(_TOKEN, {"wanted": token_id}).one_or_none()
            return None if row is None else _token(row)

        return await self._known(("token", token_id), find)

    async def find_token_by_secret(self, secret_hash: str) -> UserToken | None:
        row = await self._catalog.read(
            lambda connection: connection.execute(_TOKEN_BY_SECRET, {"wanted": secret_hash}).one_or_none()
        )
        return None if row is None else _token(row)

    async def add_user(self, user: User) -> None:
        """Add a user.

        Raises:
            ClientFault: a user of this name exists.
        """

        def add(connection: Connection) -> None:
            if connection.execute(_USER, {"wanted": user.name}).one_or_none() is not None:
                raise ClientFault(
                    f"there is a user {user.name} already; fix: 'plugin-mirror user password' changes the password"
                )
            connection.execute(insert(users), asdict(user))
            note_change(connection, user.created_at, Change(ChangeKind.USER_ADDED, user.name))

        await self._catalog.write(add)

    async def import_users(self, given: Sequence[User], *, replaces: bool) -> int:
        """Add users in one transaction, and return the number of those who existed.

        Args:
            given: the users, each name once.
            replaces: True to change the password of a user who exists.

        Raises:
            ClientFault: a user exists and ``replaces`` is False. Nothing is changed then.
        """
        now = self._clock.now()

        def change(connection: Connection) -> int:
            known = set(connection.execute(select(users.c.name)).scalars())
            taken = [user for user in given if user.name in known]
            if taken and not replaces:
                raise ClientFault(
                    f"there is a user {taken[0].name} already, so no user is imported; fix: --replace changes the "
                    "passwords of users who exist"
                )
            if taken:
                values = [{"wanted": user.name, "password_hash": user.password_hash} for user in taken]
                connection.execute(_CHANGE, values)
            for user in given:
                kind = ChangeKind.PASSWORD_CHANGED if user.name in known else ChangeKind.USER_ADDED
                note_change(connection, now, Change(kind, user.name))
            if added := [asdict(user) for user in given if user.name not in known]:
                connection.execute(insert(users), added)
            return len(taken)

        return await self._catalog.write(change)

    async def change_password(self, name: str, password_hash: str) -> None:
        """Change the password of a user. Raises NotFound if there is no such user."""
        now = self._clock.now()

        def change(connection: Connection) -> None:
            statement = update(users).where(users.c.name == name).values(password_hash=password_hash)
            _require(connection.execute(statement).rowcount, _no_user(name))
            note_change(connection, now, Change(ChangeKind.PASSWORD_CHANGED, name))

        await self._catalog.write(change)

    async def remove_user(self, name: str) -> None:
        """Remove a user and all their access tokens. Raises NotFound if there is no such user."""
        now = self._clock.now()

        def remove(connection: Connection) -> None:
            _require(connection.execute(delete(users).where(users.c.name == name)).rowcount, _no_user(name))
            note_change(connection, now, Change(ChangeKind.USER_REMOVED, name))

        await self._catalog.write(remove)

    async def list_users(self) -> list[User]:
        """Return every user, sorted by name."""
        statement = select(users).order_by(users.c.name)
        found = await self._catalog.read(lambda connection: connection.execute(statement).all())
        return [User(**row._mapping) for row in found]

    async def add_token(self, token: UserToken, secret_hash: str) -> None:
        """Add an access token of a user.

        Args:
            token: the id, owner, description and times of the token.
            secret_hash: the SHA-256 of the secret, in hexadecimal.

        Raises:
            NotFound: there is no such user.
        """
        values = {**asdict(token), "secret_hash": secret_hash}

        def add(connection: Connection) -> None:
            try:
                connection.execute(insert(user_tokens), values)
            except IntegrityError as error:  # the foreign key to the user
                raise NotFound(_no_user(token.user)) from error
            told = Change(ChangeKind.TOKEN_CREATED, token.user, after=token.id, reason=token.description)
            note_change(connection, token.created_at, told)

        await self._catalog.write(add)

    async def revoke_token(self, token_id: str) -> None:
        """Revoke an access token. Raises NotFound if there is no such token."""
        now = self._clock.now()

        def revoke(connection: Connection) -> None:
            statement = delete(user_tokens).where(user_tokens.c.id == token_id).returning(user_tokens.c.user)
            said = f"no token has the id {token_id!r}; fix: 'plugin-mirror token ls' lists the tokens"
            owner = connection.execute(statement).scalar_one_or_none()
            if owner is None:
                raise NotFound(said)
            note_change(connection, now, Change(ChangeKind.TOKEN_REVOKED, owner, before=token_id))

        await self._catalog.write(revoke)

    async def list_tokens(self) -> list[UserToken]:
        """Return every access token, sorted by user and age."""
        statement = select(user_tokens).order_by(user_tokens.c.user, user_tokens.c.created_at)
        found = await self._catalog.read(lambda connection: connection.execute(statement).all())
        return [_token(row) for row in found]

    async def _known(self, key: tuple[str, str], find: Callable[[Connection], Found]) -> Found:
        held = self._cache.login(key)
        if held is not None:
            return cast(Found, held[0])  # the key says which type is kept
        # Taken before the read: after a change in between, the kept result is not valid.
        generation = self._cache.generation
        read: Found = await self._catalog.read(find)
        self._cache.keep_login(generation, key, read)
        return read


def _token(row: Row[Any]) -> UserToken:
    return UserToken(row.id, row.user, row.description, row.created_at, row.expires_at)


def _no_user(name: str) -> str:
    return f"there is no user {name}; fix: 'plugin-mirror user ls' lists the users"


def _require(changed: int, otherwise: str) -> None:
    if not changed:
        raise NotFound(otherwise)
