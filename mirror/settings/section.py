"""What all sections have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen section without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
