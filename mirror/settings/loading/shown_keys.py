"""Keys in messages. Some people write a secret in place of a key, or behind it without a space."""

from __future__ import annotations

import re
from typing import Final

from mirror.oci.printable_text import printable
from mirror.plugin.config.secret_values import HIDDEN, masked_text

#: Longest key that is shown. Longer texts are mostly secrets, and no key of a section is as long.
MOST_SHOWN: Final = 40
_SIGN: Final = re.compile(r"([=:]).+", re.DOTALL)


def shown_key(key: str) -> str:
    """Return a key with ``(hidden)`` in place of what follows ``=`` or ``:``, and of a long key as a whole."""
    return printable(_SIGN.sub(rf"\1{HIDDEN}", masked_text(key))) if len(key) <= MOST_SHOWN else HIDDEN
