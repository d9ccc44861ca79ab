"""The one error tree, rooted by who is at fault.

::

    MirrorError
    ├── ClientFault                  the request is wrong; repeating it unchanged will not help
    │   ├── NameInvalid              repository, tag or reference outside the grammar
    │   ├── DigestInvalid            digest malformed, of an unknown algorithm, or not that of the bytes
    │   ├── SizeInvalid              content shorter or longer than it was said to be
    │   ├── ManifestInvalid          manifest bytes that do not mean what their type says
    │   │   ├── LayerEntryInvalid    an entry of a layer that engines cannot unpack
    │   │   └── LayersTooLarge       layers with more entries, names or links than are followed
    │   ├── ManifestBlobUnknown      manifest naming content that is not here
    │   ├── ContentTooLarge          over a limit of ours
    │   ├── ContentTooSlow           holding a place that others wait for: may pass
    │   ├── RangeInvalid             byte range that cannot be satisfied, chunk out of order
    │   ├── UploadInvalid            upload request that cannot be followed
    │   ├── Unsupported              a kind of request that is switched off or not known
    │   ├── Unauthorized             who calls is not known, or not proven
    │   ├── Denied                   not allowed
    │   │   └── RightMissing         to this caller; it may be to another
    │   ├── ReferenceInUse           content that something else still needs
    │   ├── TooManyRequests          more at once than one client may have under way: may pass
    │   └── NotFound
    │       ├── RepositoryUnknown
    │       ├── ManifestUnknown
    │       ├── BlobUnknown
    │       └── UploadUnknown
    ├── UpstreamFault                the other registry failed us
    │   ├── UpstreamUnreachable      no connection, no answer in time: may pass
    │   │   ├── CircuitOpen      it failed so often that it is left alone for a while: may pass
    │   │   └── UpstreamOffline      the configuration says that it is not to be asked
    │   ├── UpstreamRefused          401, 403
    │   ├── UpstreamBusy             429, 5xx: may pass
    │   └── UpstreamProtocolError             an answer that cannot be true: wrong digest, size, type or grammar
    ├── StorageFault                 our disk or catalog failed
    │   ├── StorageFull
    │   ├── StorageDamaged           stored bytes are not what they were
    │   └── CatalogFault             the catalog cannot be opened, read or written
    ├── Busy                         somebody else is doing this just now: may pass
    └── ConfigurationFault           the configuration or the command line is wrong

Every error carries a sentence for people and ``detail``, a flat mapping for programs. ``temporary`` says
whether the same request may succeed later; only such errors are ever retried. ``reason`` is the label under which
metrics and logs count an error.
"""

from __future__ import annotations

from typing import ClassVar


class MirrorError(Exception):
    """Root of everything this package raises on purpose.

    Args:
        message: one sentence: what failed, why, and what to do where that is known.
        detail: fields for programs; values are made into strings.
    """

    temporary: ClassVar[bool] = False
    reason: ClassVar[str] = "other"

    def __init__(self, message: str, **detail: object) -> None:
        super().__init__(message)
        self.message = message
        self.detail = {key: str(value) for key, value in detail.items()}

    def __str__(self) -> str:
        return self.message


class ClientFault(MirrorError):
    """The request is wrong."""


class NameInvalid(ClientFault):
    """A repository, tag or reference outside the grammar."""


class DigestInvalid(ClientFault):
    """A digest that is malformed, of an unknown algorithm, or not the digest of the bytes."""


class SizeInvalid(ClientFault):
    """Content shorter or longer than it was said to be."""


class ManifestInvalid(ClientFault):
    """Manifest bytes that do not mean what their type says."""


class LayerEntryInvalid(ManifestInvalid):
    """An entry of a layer that engines cannot unpack, or whose name they take for different things."""


class LayersTooLarge(ManifestInvalid):
    """Layers with more entries, names or links than are followed."""


class ManifestBlobUnknown(ClientFault):
    """A manifest that names content which is not here."""


class ContentTooLarge(ClientFault):
    """Content over a limit of ours."""


class ContentTooSlow(ClientFault):
    """Content that comes so slowly that it takes a place from others who wait for one."""

    temporary = True


class RangeInvalid(ClientFault):
    """A byte range that cannot be satisfied, or a chunk out of order."""


class UploadInvalid(ClientFault):
    """An upload request that cannot be followed."""


class Unsupported(ClientFault):
    """A kind of request that is switched off or not known."""


class Unauthorized(ClientFault):
    """Who calls is not known, or not proven."""


class Denied(ClientFault):
    """This is not allowed."""


class RightMissing(Denied):
    """The caller may not do this; another may."""


class ReferenceInUse(ClientFault):
    """Content that something else still needs."""


class TooManyRequests(ClientFault):
    """More at once than one client may have under way."""

    temporary = True


class NotFound(ClientFault):
    """What was asked for is not here."""

    reason = "not_found"


class RepositoryUnknown(NotFound):
    """No such repository."""


class ManifestUnknown(NotFound):
    """No such manifest or tag in the repository."""


class BlobUnknown(NotFound):
    """No such blob in the repository."""


class UploadUnknown(NotFound):
    """No such upload session in the repository."""


class UpstreamFault(MirrorError):
    """The other registry failed us."""


class UpstreamUnreachable(UpstreamFault):
    """No connection, or no answer in time."""

    temporary = True
    reason = "unreachable"


class CircuitOpen(UpstreamUnreachable):
    """The upstream failed so often that it is not asked for a while."""

    reason = "circuit_open"


class UpstreamOffline(UpstreamUnreachable):
    """The configuration says that the upstream is not to be asked."""

    temporary = False
    reason = "offline"


class UpstreamRefused(UpstreamFault):
    """The upstream wants other credentials, or does not let us have this."""

    reason = "refused"


class UpstreamBusy(UpstreamFault):
    """The upstream answered 429 or 5xx."""

    temporary = True
    reason = "busy"


class UpstreamProtocolError(UpstreamFault):
    """An answer that cannot be true."""

    reason = "protocol_error"


class StorageFault(MirrorError):
    """Our disk or catalog failed."""

    reason = "storage"


class StorageFull(StorageFault):
    """No space, or no quota, is left where content is kept."""


class StorageDamaged(StorageFault):
    """Stored bytes are not what they were when they were accepted."""


class CatalogFault(StorageFault):
    """The catalog cannot be opened, read or written."""


class Busy(MirrorError):
    """Somebody else is doing this just now."""

    temporary = True


class ConfigurationFault(MirrorError):
    """The configuration or the command line is wrong."""


def reasons(family: type[MirrorError]) -> tuple[str, ...]:
    """Every reason that an error of a family may have, each once, in the order of the tree."""
    below = (reason for child in family.__subclasses__() for reason in reasons(child))
    return tuple(dict.fromkeys([family.reason, *below]))
