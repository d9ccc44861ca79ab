"""Exception classes of this package, in one tree that is divided by the party at fault.

::

    MirrorError
    ├── ClientFault                  the request is wrong; repeating it unchanged will not help
    │   ├── NameInvalid              repository, tag or reference outside the grammar
    │   ├── DigestInvalid            digest malformed, of an unsupported algorithm, or not that of the content
    │   ├── SizeInvalid              content shorter or longer than announced
    │   ├── ManifestInvalid          manifest that is malformed or does not match its media type
    │   │   ├── LayerEntryInvalid    layer entry that engines cannot unpack
    │   │   └── LayersTooLarge       layers with too many entries, names or links to check
    │   ├── ManifestBlobUnknown      manifest that names content missing from the repository
    │   ├── ContentTooLarge          content over a configured or fixed limit
    │   ├── ContentTooSlow           transfer too slow while other clients wait; temporary
    │   ├── RangeInvalid             byte range that cannot be satisfied, or chunk out of order
    │   ├── UploadInvalid            malformed upload request
    │   ├── Unsupported              kind of request that is switched off or not implemented
    │   ├── Unauthorized             caller unknown, or login wrong
    │   ├── Denied                   action that is not allowed
    │   │   ├── RightMissing         action that is not allowed to this caller, but may be to others
    │   │   ├── CertificateRefused   client certificate that is not good any more (mirror.access.callers)
    │   │   ├── Protected            tag or manifest that is immutable or pinned
    │   │   ├── QuotaExceeded        push for which a quota has no room
    │   │   └── TagPushed            tag that a mirror rule may not move, because a client has pushed it
    │   ├── ReferenceInUse           content that other content still needs
    │   ├── TooManyRequests          too many concurrent requests of one client; temporary
    │   └── NotFound
    │       ├── RepositoryUnknown
    │       ├── ManifestUnknown
    │       │   └── LeftOut          content that a proxy rule leaves out
    │       ├── BlobUnknown
    │       └── UploadUnknown
    ├── UpstreamFault                an upstream registry failed
    │   ├── UpstreamUnreachable      no connection, or no answer in time; temporary
    │   │   ├── CircuitOpen          upstream not asked for a while after many failures; temporary
    │   │   └── UpstreamOffline      upstream not asked because the configuration says so
    │   ├── UpstreamRefused          401, 403
    │   ├── UpstreamBusy             429, 5xx; temporary
    │   │   └── UpstreamPaused       not asked again in this run after a 429 or 503
    │   └── UpstreamProtocolError    invalid answer: wrong digest, size, type or grammar; TlsFault: no TLS, or no trust
    ├── StorageFault                 disk, catalog or bucket failed (also in :mod:`mirror.oci.remote_storage_errors`)
    │   ├── StorageFull
    │   │   └── DoesNotFit
    │   ├── TooManyOpenFiles         no file descriptor is left; temporary
    │   ├── StorageDamaged           stored bytes have changed since they were accepted
    │   └── CatalogFault             the catalog cannot be opened, read or written
    ├── EngineFault                  a Docker Engine failed (:mod:`mirror.hosts.engine_errors`)
    ├── BundleFault                  a bundle cannot be used (:mod:`mirror.bundle.bundle_errors`)
    ├── LocalFault                   this machine failed, apart from the store (:mod:`mirror.runtime.system_errors`)
    ├── TagConflict                  tag that two mirror rules want to point to different content
    ├── Busy                         another caller is doing this right now; temporary
    └── ConfigurationFault           the configuration or the command line is wrong

An error has a message for people and ``detail``, a flat mapping for programs. Only errors that are ``temporary`` are
retried, because the request may succeed later. ``reason`` is the label in metrics and logs.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class MirrorError(Exception):
    """Base class of all errors that this package raises on purpose.

    Args:
        message: one sentence: the failure, its cause, and the fix if there is one.
        detail: fields for programs. Values are converted to strings.
    """

    temporary: ClassVar[bool] = False
    reason: ClassVar[str] = "other"

    def __init__(self, message: str, **detail: object) -> None:
        super().__init__(message)
        self.message = message
        # Strings only: the detail goes into JSON answers and log fields.
        self.detail = {key: str(value) for key, value in detail.items()}

    def __str__(self) -> str:
        return self.message


class ClientFault(MirrorError):
    """The request is wrong."""


class NameInvalid(ClientFault):
    """A repository, tag or reference is outside the grammar."""


class DigestInvalid(ClientFault):
    """A digest is malformed, of an unsupported algorithm, or not the digest of the content."""


class SizeInvalid(ClientFault):
    """Content is shorter or longer than announced."""


class ManifestInvalid(ClientFault):
    """A manifest is malformed or does not match its media type."""


class LayerEntryInvalid(ManifestInvalid):
    """A layer has an entry that engines cannot unpack, or whose name engines read differently."""


class LayersTooLarge(ManifestInvalid):
    """Layers have too many entries, names or links to check."""


class ManifestBlobUnknown(ClientFault):
    """A manifest names content that the repository does not hold."""


class ContentTooLarge(ClientFault):
    """Content is over a limit."""


class ContentTooSlow(ClientFault):
    """A transfer is so slow that it holds a place for which other clients wait."""

    temporary = True


class RangeInvalid(ClientFault):
    """A byte range cannot be satisfied, or a chunk is out of order."""


class UploadInvalid(ClientFault):
    """An upload request is malformed."""


class Unsupported(ClientFault):
    """This kind of request is switched off or not implemented."""


class Unauthorized(ClientFault):
    """The caller is unknown, or the login is wrong."""


class Denied(ClientFault):
    """The action is not allowed."""


class RightMissing(Denied):
    """The action is not allowed to this caller. Another caller may have the right."""


class Protected(Denied):
    """A tag or manifest is immutable or pinned, so it may not be moved or deleted."""


class QuotaExceeded(Denied):
    """A quota of the repository or of the user has no room for a push."""


class TagPushed(Denied):
    """A mirror rule may not move the tag, because a client has pushed it."""


class ReferenceInUse(ClientFault):
    """Other content still needs this content."""


class TooManyRequests(ClientFault):
    """A client has more concurrent requests than allowed."""

    temporary = True


class NotFound(ClientFault):
    """The requested content does not exist here."""

    reason = "not_found"


class RepositoryUnknown(NotFound):
    """The repository does not exist."""


class ManifestUnknown(NotFound):
    """The repository has no such manifest or tag."""


class LeftOut(ManifestUnknown):
    """A proxy rule leaves out a manifest, or every member of an index. Answered as missing content."""


class BlobUnknown(NotFound):
    """The repository has no such blob."""


class UploadUnknown(NotFound):
    """The repository has no such upload session."""


class UpstreamFault(MirrorError):
    """An upstream registry failed."""


class UpstreamUnreachable(UpstreamFault):
    """An upstream cannot be connected to, or did not answer in time."""

    temporary = True
    reason = "unreachable"


class CircuitOpen(UpstreamUnreachable):
    """An upstream failed so often that no request is sent to it for a while."""

    reason = "circuit_open"


class UpstreamOffline(UpstreamUnreachable):
    """The configuration forbids requests to the upstream."""

    temporary = False
    reason = "offline"


class UpstreamRefused(UpstreamFault):
    """An upstream requires other credentials, or denies access."""

    reason = "refused"


class UpstreamBusy(UpstreamFault):
    """An upstream answered 429 or 5xx."""

    temporary = True
    reason = "busy"


class UpstreamPaused(UpstreamBusy):
    """An upstream answered 429 or 503, so a run of a mirror rule asks it nothing more."""


class UpstreamProtocolError(UpstreamFault):
    """An upstream sent an invalid answer."""

    reason = "protocol_error"


class StorageFault(MirrorError):
    """The local disk or catalog failed."""

    reason = "storage"


class StorageFull(StorageFault):
    """A disk or a quota is full."""

    ERRNOS: ClassVar = frozenset({errno.ENOSPC, errno.EDQUOT})


class DoesNotFit(StorageFull):
    """Content is larger than the space on the disk, which has space for smaller content."""


class TooManyOpenFiles(StorageFault):
    """The process or the system has no file descriptor left."""

    temporary = True
    ERRNOS: ClassVar = frozenset({errno.EMFILE, errno.ENFILE})

    @classmethod
    def while_doing(cls, what: str) -> TooManyOpenFiles:
        """Return the error for an action, such as ``"store an upload"``."""
        return cls(f"cannot {what}: too many open files; fix: retry, or raise ulimit -n", retry_after_seconds=1)


class StorageDamaged(StorageFault):
    """Stored bytes have changed since they were accepted."""


class CatalogFault(StorageFault):
    """The catalog cannot be opened, read or written."""


class TagConflict(MirrorError):
    """Two mirror rules want a tag to point to different content."""


class Busy(MirrorError):
    """Another caller is doing this right now."""

    temporary = True


class ConfigurationFault(MirrorError):
    """The configuration or the command line is wrong."""


def reasons(family: type[MirrorError]) -> tuple[str, ...]:
    """Return the reasons of all error classes in a family, each once, in the order of the tree."""
    # Shared metrics need every label value before the server starts, so reasons are a fixed set (ADR 8).
    return tuple(dict.fromkeys([family.reason, *(one for child in family.__subclasses__() for one in reasons(child))]))
