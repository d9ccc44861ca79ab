"""Advice for users about errors: the fix in the message, or else the usual advice for the class."""

from __future__ import annotations

from typing import Final

from mirror.oci import errors
from mirror.oci.errors import MirrorError
from mirror.oci.remote_storage_errors import BucketFault
from mirror.runtime.system_errors import how_to_fix

_FIX: Final = "fix: "
#: Advice for errors whose message has none. The most specific class decides.
_ADVICE: Final[dict[type[MirrorError], str]] = {
    errors.NameInvalid: "write [HOST[:PORT]/]NAME[:TAG][@DIGEST], such as acme/driver:1.0",
    errors.DigestInvalid: "write a digest as sha256: and 64 hexadecimal digits",
    errors.NotFound: "'plugin-mirror ls' lists what the store holds",
    errors.Denied: "use an account with the right to do this",
    errors.Unauthorized: "log in with: docker login",
    errors.ManifestInvalid: "name another tag; 'plugin-mirror inspect' tells what a name holds",
    errors.ClientFault: "correct the arguments, see --help",
    errors.UpstreamUnreachable: "check the network, the name and the port",
    errors.CircuitOpen: "try again later",
    errors.UpstreamOffline: "remove 'offline: true' from the configuration",
    errors.UpstreamRefused: "configure a login for the upstream, or correct the name",
    errors.UpstreamProtocolError: "check that the address is that of a registry",
    errors.UpstreamFault: "try again later",
    errors.StorageFull: "free some space on the disk",
    errors.StorageDamaged: "find and heal what is damaged: plugin-mirror scrub",
    BucketFault: "check storage.blobs, and the server of the bucket",
    errors.StorageFault: "check the disk and the owner of the data folder",
    errors.TagConflict: "let one owner only have the tag, or delete it here",
    errors.Busy: "try again when the other process has ended",
    errors.ConfigurationFault: "correct the configuration or the arguments, see --help",
    MirrorError: "look at the reason above, and see --help",
}
#: Advice about content that was looked for at another registry.
_ELSEWHERE: Final = "check the name and the tag at that registry"


def split_fix(message: str) -> tuple[str, str]:
    """Return what a message says, and its first fix; the fix is empty if the message has none."""
    what, *fixes = message.split(f"; {_FIX}", 2)
    return what, fixes[0] if fixes else ""


def without_fix(error: Exception) -> str:
    """Return what an error says, to become part of a message with a fix of its own."""
    return split_fix(str(error))[0]


def file_words(error: OSError | UnicodeDecodeError) -> str:
    """Return the reason for which a file cannot be read or run, in the words of the system."""
    return error.strerror or "the system failed" if isinstance(error, OSError) else "it is not text in UTF-8"


def advised(error: MirrorError, advice: str = "") -> str:
    """Return the message of an error, each line with a fix. Blocks if the error has one of the system as its cause.

    Args:
        error: the error.
        advice: advice in place of the usual one for lines without a fix.
    """
    advice = advice or _advice(error)
    return "\n".join(line if _FIX in line else f"{line}; {_FIX}{advice}" for line in str(error).splitlines())


def _advice(error: MirrorError) -> str:
    # The cause is an error of the system if a file that a user named is missing or closed.
    if isinstance(error.__cause__, OSError) and isinstance(error, errors.ConfigurationFault | errors.StorageFault):
        return how_to_fix(error.__cause__)
    if isinstance(error, errors.NotFound) and "upstream" in error.detail:
        return _ELSEWHERE
    return next(_ADVICE[family] for family in type(error).__mro__ if family in _ADVICE)
