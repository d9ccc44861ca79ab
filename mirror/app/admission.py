"""Which plugins are let in, told: lists, figures, and what may be decided over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog
from prometheus_client.metrics_core import Metric

from mirror.app.deciding import decide_in, policy_of
from mirror.app.stores import open_store, policy_judge
from mirror.filters.judging import Judge
from mirror.filters.layer_reading import LayerReading
from mirror.oci.digest import Digest
from mirror.oci.errors import ClientFault, ConfigurationFault, Denied
from mirror.oci.names import Reference, Repository
from mirror.plugin.policy import Action
from mirror.registry import rights
from mirror.registry.admissions import Admission, State
from mirror.runtime.concurrency.shared_tasks import SharedTasks
from mirror.runtime.metrics import Family, Kind, Share
from mirror.runtime.metrics_exposition import metric
from mirror.server.acts import Act
from mirror.server.operators import Operator, Word
from mirror.settings import Settings
from mirror.store.registry import Store

_LOG = structlog.get_logger(__name__)

#: Fewest characters of the word that is asked of who decides over HTTP.
LEAST_TOKEN_LENGTH: Final = 16
_MOST_TOKEN_BYTES: Final = 4096
#: Largest report that is kept for who asks next, in bytes: that of some 20 000 plugins.
_MOST_KEPT_BYTES: Final = 8 * 1024 * 1024

#: Does what an object that was sent says, for somebody who may decide in some repositories; None stands for all.
Decide: TypeAlias = Callable[[Mapping[str, Any], Callable[[Repository | None], bool]], Awaitable[object]]

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


async def standing(settings: Settings, store: Store) -> list[Metric]:
    """How many plugins stand in which way."""
    counts = await store.records.admissions.count_admissions(policy_of(settings))
    return [metric(STANDING, [((state.value,), [float(count)]) for state, count in counts.items()])]


async def list_admissions(settings: Settings, state: State | None) -> Sequence[Admission]:
    """What is known of plugins in our own store, those of one state or all."""
    async with open_store(settings, must_exist=True) as store:
        return await store.records.admissions.admissions(state, policy_of(settings))


class AdmissionReport:
    """``/api/v1/admission``: made once for all who ask, for as long as the catalog has not changed.

    Args:
        settings: the policy whose verdicts are told.
        store: where plugins are.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._policy = policy_of(settings)
        self._store = store
        self._making: SharedTasks[Hashable, bytes] = SharedTasks()
        self._kept: tuple[int, bytes] | None = None

    async def give(self) -> bytes:
        """The report, as JSON."""
        generation = self._store.records.verdicts.admission_generation
        if self._kept is not None and self._kept[0] == generation:
            return self._kept[1]
        # Who comes while the catalog is being changed does not share: the change may be their own.
        key = object() if generation is None else generation
        return await self._making.run(key, lambda: self._make(generation))

    async def _make(self, generation: int | None) -> bytes:
        body = await asyncio.to_thread(_in_json, await self._store.records.admissions.admissions(policy=self._policy))
        if generation is not None and len(body) <= _MOST_KEPT_BYTES:
            self._kept = (generation, body)
        return body


def _in_json(admissions: Sequence[Admission]) -> bytes:
    return json.dumps({"admissions": [admission.to_json() for admission in admissions]}).encode()


def acts(settings: Settings, store: Store, layers: LayerReading) -> dict[str, Act]:
    """The acts of ``POST /api/v1/admission/…``.

    Args:
        settings: the policy.
        store: where plugins are.
        layers: reads layers, for the whole process.
    """
    judge = policy_judge(store, settings, layers)
    return {
        "admission/approve": Act(rights.Action.APPROVE, by_right(deciding(store, judge, approved=True))),
        "admission/reject": Act(rights.Action.APPROVE, by_right(deciding(store, judge, approved=False))),
    }


def by_right(decide: Decide) -> Callable[[Operator, Mapping[str, Any]], Awaitable[object]]:
    """An act for those who may approve in the repository that is named. Who has logged in decides in their own name.

    Args:
        decide: given what was sent, with ``by``, and where who sent it may decide.
    """

    async def act(operator: Operator, sent: Mapping[str, Any]) -> object:
        reference, by = sent.get("reference", ""), sent.get("by")
        if not isinstance(reference, str):
            raise ClientFault("reference is not a string, such as acme/driver@sha256:…")
        repository = Reference.parse(reference).repository
        # A rejection that is lifted is lifted under every name.
        operator.require(rights.Action.APPROVE, None if sent.get("overrule") is True else repository)
        may_decide = partial(operator.rights.allows, rights.Action.APPROVE)
        if operator.name is None:
            return await decide(sent, may_decide)
        if by is not None and by != operator.name:
            raise Denied(f"{operator.name} decides in their own name, and no other: leave 'by' out")
        return await decide({**sent, "by": operator.name}, may_decide)

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


def deciding(store: Store, judge: Judge, *, approved: bool) -> Decide:
    """What ``POST /api/v1/admission/approve`` and ``…/reject`` do with the object they are sent.

    Args:
        store: where plugins are.
        judge: tells how a plugin stands with a decision.
        approved: which of the two.
    """
    kinds: dict[str, type] = {"reference": str, "by": str, "note": str}
    if approved:
        kinds |= {"digest": str, "overrule": bool}

    async def act(sent: Mapping[str, Any], may_decide: Callable[[Repository | None], bool]) -> object:
        if not all(type(value) is kinds.get(name) for name, value in sent.items()):
            said = {str: "a string", bool: "true or false"}
            known = ", ".join(f"{name} ({said[kind]})" for name, kind in kinds.items())
            raise ClientFault(f"the body is an object with: {known}")
        reference = Reference.parse(sent.get("reference", ""))
        if reference.host is not None:
            raise ClientFault(f"{reference} names another registry: write NAME:TAG or NAME@DIGEST")
        decided = await decide_in(
            store,
            reference.repository,
            reference.target,
            judge,
            approved=approved,
            by=sent.get("by", ""),
            note=sent.get("note", ""),
            overrule=sent.get("overrule", False),
            expected=Digest.parse(sent["digest"]) if "digest" in sent else None,
            may_decide=may_decide,
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
