"""Actions ``POST /api/v1/admission/approve`` and ``…/reject``, by which people decide about plugins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import structlog

from mirror.access.rights import AccessAction
from mirror.oci import Digest, Reference
from mirror.oci.errors import ClientFault, Denied
from mirror.records.admission.admissions import Admission
from mirror.server.api.admin_actions import AdminAction
from mirror.server.api.operators import Operator

_LOG = structlog.get_logger(__name__)

_REJECT_KEYS: Final[Mapping[str, type]] = {"reference": str, "by": str, "note": str}
_APPROVE_KEYS: Final[Mapping[str, type]] = {**_REJECT_KEYS, "digest": str, "overrule": bool}
_TYPE_NAMES: Final = {str: "a string", bool: "true or false"}


#: Signature of :meth:`mirror.admission.approvals.Approvals.decide`, which this layer must not import.
Decide: TypeAlias = Callable[..., Awaitable[Sequence[Admission]]]


def admission_actions(decide: Decide) -> dict[str, AdminAction]:
    """Return the two actions, by the end of their paths. They need the right to approve in the named repository.

    A logged-in user decides in their own name.
    """
    return {
        f"admission/{verb}": AdminAction(AccessAction.APPROVE, partial(_action, decide, approved=verb == "approve"))
        for verb in ("approve", "reject")
    }


async def _action(decide: Decide, operator: Operator, sent: Mapping[str, Any], *, approved: bool) -> object:
    text, by = sent.get("reference", ""), sent.get("by")
    if not isinstance(text, str):
        raise ClientFault("reference must be a string, such as acme/driver@sha256:…")
    reference = Reference.parse(text)
    # Overruling lifts a rejection under every name, so it needs the right in every repository.
    operator.require(AccessAction.APPROVE, None if sent.get("overrule") is True else reference.repository)
    if operator.name is not None:
        if by is not None and by != operator.name:
            # Refused instead of replaced: a client that sends another name relies on it (docs/adr/0021).
            raise Denied(f"{operator.name} cannot decide in the name of others; fix: leave out 'by'")
        sent = {**sent, "by": operator.name}
    _require_keys(sent, _APPROVE_KEYS if approved else _REJECT_KEYS)
    if reference.host is not None:
        raise ClientFault(f"{reference} names another registry; fix: write NAME:TAG or NAME@DIGEST")
    decided = await decide(
        reference.repository,
        reference.target,
        approved=approved,
        by=sent.get("by", ""),
        note=sent.get("note", ""),
        overrule=sent.get("overrule", False),
        expected=Digest.parse(sent["digest"]) if "digest" in sent else None,
        may_decide=partial(operator.rights.allows, AccessAction.APPROVE),
    )
    for admission in decided:
        told = {"name": str(admission.repository), "digest": str(admission.digest), "state": admission.state.value}
        _LOG.info("plugin approved or rejected", **told, by=sent.get("by"), note=sent.get("note", ""))
    return {"admissions": [admission.to_json() for admission in decided]}


def _require_keys(sent: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    if not all(type(value) is kinds.get(name) for name, value in sent.items()):
        known = ", ".join(f"{name} ({_TYPE_NAMES[kind]})" for name, kind in kinds.items())
        raise ClientFault(f"the body must be an object with: {known}")
