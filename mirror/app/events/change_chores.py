"""Background work of all readers of changes."""

from __future__ import annotations

from mirror.app.events.audit_keeping import audit_chores
from mirror.app.events.event_sending import event_chores
from mirror.app.storage.upkeep_chores import Chore
from mirror.settings import Settings
from mirror.store.registry import Store


def change_chores(settings: Settings, store: Store) -> list[Chore]:
    """Return the background work of the audit and of all endpoints."""
    return [*audit_chores(settings, store), *event_chores(settings, store)]
