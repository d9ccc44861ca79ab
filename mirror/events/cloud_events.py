"""Changes as CloudEvents 1.0, in the structured JSON format. Pure."""

from __future__ import annotations

import json
from typing import Final

from mirror.oci.timestamps import machine_time
from mirror.records.changes.change import RecordedChange, facts

CONTENT_TYPE: Final = "application/cloudevents+json"
_PREFIX: Final = "plugin-mirror."


def cloud_event(recorded: RecordedChange, stream: str, source: str) -> str:
    """Return a change as a CloudEvent.

    Args:
        recorded: the change.
        stream: random name of the numbering of changes, so that no two events have the same id.
        source: address of this registry.
    """
    change = recorded.change
    data = {name: value for name, value in facts(change).items() if name not in {"kind", "subject"}}
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{stream}-{recorded.id}",
            "source": source,
            "type": f"{_PREFIX}{change.kind}",
            "subject": change.subject,
            "time": machine_time(recorded.at),
            "datacontenttype": "application/json",
            "data": {**data, "actor": facts(recorded.actor)},
        },
        separators=(",", ":"),
    )


def event_id(body: str) -> str:
    """Return the id of an event that :func:`cloud_event` made."""
    return str(json.loads(body)["id"])
