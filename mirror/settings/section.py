"""The base of all sections."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen section that refuses unknown keys."""

    # Unknown keys are refused: a misspelled limit or rule would otherwise have no effect.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
