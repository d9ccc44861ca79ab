"""Scopes: what a token is for (distribution token specification, "Token Scope Documentation").

A scope reads ``TYPE:NAME:ACTION[,ACTION…]``, as ``repository:contiv/v2plugin:pull,push``. Engines ask for plugins with
the type ``repository(plugin)``: a class in brackets, which is no part of the type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mirror.oci import Repository
from mirror.oci.errors import NameInvalid
from mirror.wire import routes

_SCOPE: Final = re.compile(r"([a-z0-9]+)(?:\(([a-z0-9]+)\))?:([!-~]+):([a-z*]+(?:,[a-z*]+)*|)")
#: Most scopes that one request for a token is read for.
MOST_SCOPES: Final = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on one thing.

    Attributes:
        kind: ``repository``, ``registry`` …, without its class.
        name: of the repository, or ``catalog``.
        actions: ``pull``, ``push``, ``delete``; ``*`` is all of them.
    """

    kind: str
    name: str
    actions: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read one scope.

        Raises:
            NameInvalid: it is outside the grammar.
        """
        match = _SCOPE.fullmatch(text)
        if match is None:
            raise NameInvalid(f"{text[:200]!r} is not a scope, such as repository:acme/driver:pull,push")
        return cls(match[1], match[3], tuple(filter(None, match[4].split(","))))

    @property
    def repository(self) -> Repository | None:
        """The repository that is meant; None where it is something else, or nothing can have that name."""
        if self.kind != "repository":
            return None
        try:
            return Repository.parse(self.name)
        except NameInvalid:
            return None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"


_PULL: Final = ("pull",)
_PUSH: Final = ("pull", "push")
_DELETE: Final = ("delete",)
#: Needed to list repositories.
CATALOG: Final = Scope("registry", "catalog", ("*",))


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Read parameters of the name ``scope``, each with one or several separated by spaces.

    What is outside the grammar is left out: nothing is given for it. At most :data:`MOST_SCOPES` are read.
    """
    found: list[Scope] = []
    words = (word for text in texts for word in text.split())
    for word in islice(words, MOST_SCOPES):
        try:
            found.append(Scope.parse(word))
        except NameInvalid:
            continue
    return tuple(found)


def repository_scope(repository: Repository, *actions: str) -> str:
    """The scope for ``actions`` on a repository: ``pull``, ``push``, ``delete``."""
    return str(Scope("repository", repository.name, actions))


def needed(method: str, route: routes.Route) -> tuple[Scope, ...]:
    """What a request needs a token for: all of it, so that one challenge can name it."""
    match route:
        case routes.PingRoute():
            return ()
        case routes.CatalogRoute():
            return (CATALOG,)
        case routes.UploadsRoute(repository=target, source=Repository() as source) if route.mount and source != target:
            return (Scope("repository", target.name, _PUSH), Scope("repository", source.name, _PULL))
        case (
            routes.ManifestRoute()
            | routes.BlobRoute()
            | routes.TagsRoute()
            | routes.ReferrersRoute()
            | routes.UploadsRoute()
            | routes.UploadRoute()
        ):
            return (Scope("repository", route.repository.name, _actions(method, route)),)
        case _:
            raise AssertionError(f"{type(route).__name__} is an end-point without a scope")


def _actions(method: str, route: routes.Route) -> tuple[str, ...]:
    if isinstance(route, routes.UploadsRoute | routes.UploadRoute) or method == "PUT":
        return _PUSH
    return _DELETE if method == "DELETE" else _PULL
