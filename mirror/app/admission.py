"""Which plugins are let in: the policy of the settings around registries, and what people decide."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client.metrics_core import Metric

from mirror.app.stores import open_store
from mirror.oci.digest import Digest
from mirror.oci.errors import ClientFault, ConfigurationFault, Denied, ManifestUnknown, NotFound
from mirror.oci.manifest import Manifest
from mirror.oci.names import Reference, Repository, Tag
from mirror.plugin.policy import Action
from mirror.registry import rights
from mirror.registry.admissions import Admission, Decision, State
from mirror.runtime.clock import SystemClock
from mirror.runtime.metrics import Family, Kind, Share
from mirror.runtime.metrics_exposition import metric
from mirror.server.acts import Act
from mirror.server.operators import Operator, Word
from mirror.settings import Settings
from mirror.store.registry import Store

_LOG = structlog.get_logger(__name__)
_CLOCK = SystemClock()

#: Fewest characters of the word that is asked of who decides over HTTP.
LEAST_TOKEN_LENGTH: Final = 16
_MOST_TOKEN_BYTES: Final = 4096
_MOST_TEXT_LENGTH: Final = 255

DECISIONS: Final = Family(
    "plugin_mirror_admission_decisions_total",
    "What the admission policy has decided about plugins that came, or were asked for and not judged yet.",
    Kind.COUNTER,
    ("action",),
    [(action.value,) for action in Action],
)
STANDING: Final = Family(
    "plugin_mirror_admissions",
    "Plugins that are known to the admission policy, by how they stand.",
    Kind.GAUGE,
    ("state",),
)


def counting(share: Share) -> Callable[[Action], None]:
    """What counts decisions, in a process that serves."""
    figures = {action: share.figure(DECISIONS, action.value) for action in Action}
    return lambda action: figures[action].add()


async def standing(store: Store) -> list[Metric]:
    """How many plugins stand in which way."""
    counts = await store.count_admissions()
    return [metric(STANDING, [((state.value,), [float(count)]) for state, count in counts.items()])]


async def list_admissions(settings: Settings, state: State | None) -> Sequence[Admission]:
    """What is known of plugins in our own store, those of one state or all."""
    async with open_store(settings, must_exist=True) as store:
        return await store.admissions(state)


async def decide(settings: Settings, reference: Reference, *, approved: bool, by: str, note: str) -> list[Admission]:
    """Approve or reject a plugin in our own store, as :func:`decide_in` does."""
    if reference.host is not None:
        raise ConfigurationFault(f"{reference} is in another registry: decide there, or name what is held here")
    async with open_store(settings, must_exist=True) as store:
        return await decide_in(store, reference.repository, reference.target, approved=approved, by=by, note=note)


async def decide_in(
    store: Store, repository: Repository, target: Tag | Digest, *, approved: bool, by: str, note: str
) -> list[Admission]:
    """Approve or reject a plugin, or every plugin of an index. It is known to all processes when this returns.

    Args:
        store: where it is held, or will be: a digest need not be here yet.
        repository, target: its name.
        approved: which of the two.
        by, note: who decides, and why; at most 255 characters each.

    Raises:
        ManifestUnknown, RepositoryUnknown: no such tag.
        ClientFault: a text is too long, or nobody is named.
    """
    if not by.strip() or not by.isprintable() or not note.isprintable() or max(len(by), len(note)) > _MOST_TEXT_LENGTH:
        raise ClientFault(
            f"who decides must be named, in one line, and notes are one line, of {_MOST_TEXT_LENGTH} at most"
        )
    decision = Decision(approved, by.strip(), _CLOCK.now(), note.strip())
    return [await store.decide(repository, digest, decision) for digest in await _meant(store, repository, target)]


async def _meant(store: Store, repository: Repository, target: Tag | Digest) -> list[Digest]:
    manifest = await _held(store, repository, target)
    if manifest is not None:
        return [member.digest for member in manifest.manifests] or [manifest.digest]
    if isinstance(target, Digest):
        return [target]
    raise ManifestUnknown(
        f"no tag {target} of {repository} is here: name a digest, which may come later",
        name=repository,
        reference=target,
    )


async def _held(store: Store, repository: Repository, target: Tag | Digest) -> Manifest | None:
    """A manifest that is here, or is being pulled through."""
    try:
        return await store.get_manifest(repository, target)
    except NotFound:
        origin = await store.origin(repository, target)
        return None if origin is None else await store.incomplete(repository, origin.digest)


async def report(store: Store) -> Mapping[str, object]:
    """``/api/v1/admission``."""
    return {"admissions": [admission.to_json() for admission in await store.admissions()]}


def acts(store: Store) -> dict[str, Act]:
    """What ``POST /api/v1/admission/…`` does."""
    return {
        "admission/approve": Act(rights.Action.APPROVE, by_right(deciding(store, approved=True))),
        "admission/reject": Act(rights.Action.APPROVE, by_right(deciding(store, approved=False))),
    }


def by_right(
    decide: Callable[[Mapping[str, Any]], Awaitable[object]],
) -> Callable[[Operator, Mapping[str, Any]], Awaitable[object]]:
    """An act for those who may approve in the repository that is named. Who has logged in decides in their own name.

    Args:
        decide: given what was sent, with ``by``.
    """

    async def act(operator: Operator, sent: Mapping[str, Any]) -> object:
        reference, by = sent.get("reference", ""), sent.get("by")
        if not isinstance(reference, str):
            raise ClientFault("reference is not a string, such as acme/driver@sha256:…")
        operator.require(rights.Action.APPROVE, Reference.parse(reference).repository)
        if operator.name is None:
            return await decide(sent)
        if by is not None and by != operator.name:
            raise Denied(f"{operator.name} decides in their own name, and no other: leave 'by' out")
        return await decide({**sent, "by": operator.name})

    return act


def word(settings: Settings) -> Word | None:
    """What knows the word that lets somebody decide; None where the settings name none.

    Raises:
        ConfigurationFault: the word cannot be read, or is too short.
    """
    token_file = settings.admission.token_file
    if token_file is None:
        return None
    read_token(token_file)
    return may_decide(token_file)


def deciding(store: Store, *, approved: bool) -> Callable[[Mapping[str, Any]], Awaitable[object]]:
    """What ``POST /api/v1/admission/approve`` and ``…/reject`` do with the object they are sent."""

    async def act(sent: Mapping[str, Any]) -> object:
        known = {"reference", "by", "note"}
        if not set(sent) <= known or not all(isinstance(value, str) for value in sent.values()):
            raise ClientFault(f"the body is an object with strings: {', '.join(sorted(known))}")
        reference = Reference.parse(sent.get("reference", ""))
        if reference.host is not None:
            raise ClientFault(f"{reference} names another registry: write NAME:TAG or NAME@DIGEST")
        decided = await decide_in(
            store,
            reference.repository,
            reference.target,
            approved=approved,
            by=sent.get("by", ""),
            note=sent.get("note", ""),
        )
        for admission in decided:
            told = {"name": str(admission.repository), "digest": str(admission.digest), "state": admission.state.value}
            _LOG.info("plugin decided about", **told, by=sent.get("by"), note=sent.get("note", ""))
        return {"admissions": [admission.to_json() for admission in decided]}

    return act


def may_decide(token_file: Path) -> Callable[[str | None], Awaitable[None]]:
    """What raises Denied unless it is given the word that stands in a file, which is read anew each time."""

    async def require(said: str | None) -> None:
        wanted = await asyncio.to_thread(read_token, token_file)
        if said is None or not hmac.compare_digest(said.encode(errors="surrogateescape"), wanted.encode()):
            raise Denied("this needs the header 'Authorization: Bearer WORD', with the word of admission.token_file")

    return require


def read_token(file: Path) -> str:
    """The word in a file.

    Raises:
        ConfigurationFault: it cannot be read, or is too short to keep anybody out.
    """
    try:
        with file.expanduser().open("rb") as opened:
            word = opened.read(_MOST_TOKEN_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault(f"admission.token_file: {file} cannot be read: {error}") from error
    if len(word) < LEAST_TOKEN_LENGTH:
        raise ConfigurationFault(
            f"admission.token_file: {file} holds fewer than {LEAST_TOKEN_LENGTH} characters: "
            "make one with 'openssl rand -hex 32'"
        )
    return word
