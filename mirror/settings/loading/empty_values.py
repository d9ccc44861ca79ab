"""Keys without a value, and those without a space before it.

None as a value would be the default, and a protection would be gone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

#: The value of such a key. No setting accepts it.
EMPTY: Final = object()
#: A key that a space after its colon would make one. Texts such as URLs, times and names with a tag are none.
GLUED: Final = re.compile(r"\s*(?:- +)?[a-z][a-z0-9_-]*:[^\s/]")


def with_empty(value: Any) -> Any:
    """Return nested values with :data:`EMPTY` in place of each None."""
    if isinstance(value, Mapping):
        return {key: with_empty(one) for key, one in value.items()}
    if isinstance(value, list):
        return [with_empty(one) for one in value]
    return EMPTY if value is None else value
