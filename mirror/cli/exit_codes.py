"""Exit codes of the command line. They are stable, because scripts depend on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mirror.oci.errors import MirrorError

DONE: Final = 0
ANSWER_IS_NO: Final = 1
WRONG_USAGE: Final = 2
OTHER_SIDE_FAILED: Final = 3
INTERRUPTED: Final = 4
LOCAL_TROUBLE: Final = 5


def of(error: MirrorError) -> int:
    """Return the exit code for an error that ends a command."""
    from mirror.oci.errors import ConfigurationFault

    if isinstance(error, ConfigurationFault) and isinstance(error.__cause__, PermissionError):
        return LOCAL_TROUBLE
    by_family = _by_family()
    # The most specific class decides. MirrorError itself is in the table, so there always is an entry.
    return next(by_family[family] for family in type(error).__mro__ if family in by_family)


def _by_family() -> dict[type[MirrorError], int]:
    # Imported late: most commands end without an error.
    from mirror.hosts import engine_errors
    from mirror.oci import errors
    from mirror.oci.remote_storage_errors import BucketFault, CatalogUnreachable
    from mirror.runtime.system_errors import LocalFault

    return {
        errors.NameInvalid: WRONG_USAGE,
        errors.DigestInvalid: WRONG_USAGE,
        errors.ConfigurationFault: WRONG_USAGE,
        errors.UpstreamFault: OTHER_SIDE_FAILED,
        engine_errors.EngineFault: OTHER_SIDE_FAILED,
        engine_errors.EngineAccessDenied: LOCAL_TROUBLE,
        BucketFault: OTHER_SIDE_FAILED,
        CatalogUnreachable: OTHER_SIDE_FAILED,
        errors.StorageFault: LOCAL_TROUBLE,
        LocalFault: LOCAL_TROUBLE,
        errors.MirrorError: ANSWER_IS_NO,  # all other errors: the request was understood and cannot be met
    }
