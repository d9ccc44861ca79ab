"""Exit codes of the command line. They are stable, because scripts depend on them."""

from __future__ import annotations

from typing import Final

from mirror.hosts import engine_errors
from mirror.oci import errors
from mirror.oci.errors import MirrorError
from mirror.runtime.system_errors import LocalFault

DONE: Final = 0
ANSWER_IS_NO: Final = 1
WRONG_USAGE: Final = 2
OTHER_SIDE_FAILED: Final = 3
INTERRUPTED: Final = 4
LOCAL_TROUBLE: Final = 5

_BY_FAMILY: dict[type[MirrorError], int] = {
    errors.NameInvalid: WRONG_USAGE,
    errors.DigestInvalid: WRONG_USAGE,
    errors.ConfigurationFault: WRONG_USAGE,
    errors.UpstreamFault: OTHER_SIDE_FAILED,
    engine_errors.EngineFault: OTHER_SIDE_FAILED,
    engine_errors.EngineAccessDenied: LOCAL_TROUBLE,
    errors.StorageFault: LOCAL_TROUBLE,
    LocalFault: LOCAL_TROUBLE,
    MirrorError: ANSWER_IS_NO,  # all other errors: the request was understood and cannot be met
}


def of(error: MirrorError) -> int:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, errors.ConfigurationFault) and isinstance(error.__cause__, PermissionError):
        return LOCAL_TROUBLE
    # The most specific class decides. MirrorError itself is in the table, so there always is an entry.
    return next(_BY_FAMILY[family] for family in type(error).__mro__ if family in _BY_FAMILY)
