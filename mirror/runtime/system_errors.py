"""Words and advice for errors of the operating system, the same for every part of the program."""

from __future__ import annotations

import errno
import os
import pwd
import re
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

from mirror.oci.errors import MirrorError

_TLS_REASON: Final = re.compile(r"\[SSL: (\w{1,80})\]")
#: The name or address that a certificate does not have, in the words of Python.
_NAMED: Final = re.compile(r"is not valid for '([^'\s]{1,253})'")
_RESOLVER_WORDS: Final = {
    socket.EAI_NONAME: "no such name",
    socket.EAI_AGAIN: "no name server answers",
    socket.EAI_FAIL: "the name server failed",
}
#: Reasons for which a certificate is not trusted, by the numbers of OpenSSL (x509_vfy.h).
_DISTRUST: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its authority is unknown here",
    20: "its authority is unknown here",
    21: "its authority is unknown here",
    23: "it was revoked",
    26: "it was issued for another use",
    62: "it is for another name",
    64: "it is for another address",
}
#: What helps, by the same numbers.
_TRUST: Final = {
    9: "set the clock of this machine",
    10: "renew the certificate there; if it is valid, set the clock of this machine",
    23: "replace the certificate there",
    26: "replace the certificate there by one for servers",
    62: "use a name that the certificate has",
    64: "use an address that the certificate has",
}
#: Reasons of OpenSSL for a file without any certificate or key.
_NO_PEM: Final = frozenset({"", "pem lib", "no start line", "no certificate or crl found", "asn1 lib", "bad end line"})


class LocalFault(MirrorError):
    """Something on this machine failed, apart from the store: a port is in use, or an output cannot be written."""


def how_to_fix(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """Return what a user can do about an error. Blocks.

    Args:
        error: the error.
        path: the file or folder that was used; None for the one in the error.
    """
    named = path if path is not None else error.filename
    place = Path(os.fsdecode(named)) if isinstance(named, (str, bytes, os.PathLike)) else None
    shown = "it" if place is None else str(place)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            fix = f"free some space on {_disk(place)}, and repeat"
        case errno.EROFS:
            fix = f"mount {_disk(place)} for writing, or choose another place"
        case errno.EACCES | errno.EPERM:
            fix = f"{_who(place)}, or give this user access"
        case errno.ENOENT if place is not None and not _exists(place.parent):
            fix = f"create the folder {place.parent}, or correct the path"
        case errno.EISDIR:
            fix = f"name a file, because {shown} is a folder"
        case errno.EEXIST | errno.ENOTEMPTY:
            fix = "choose another name"
        case errno.EMFILE | errno.ENFILE:
            fix = "raise the limit of open files (ulimit -n)"
        case errno.EIO:
            fix = f"check {_disk(place)}: its log is in dmesg"
        case errno.EFBIG:
            fix = "write smaller files, which the file system of the drive can hold"
        case _:
            fix = "correct the path"
    return fix


def connection_words(error: OSError) -> str:
    """Return the reason of an error of a connection, without the words of a library."""
    # An error of TLS keeps its name in its text, also when a library has wrapped it.
    tls = _TLS_REASON.search(str(error))
    if tls is not None:
        return f"TLS failed ({tls[1].replace('_', ' ').lower()})"
    if isinstance(error, socket.gaierror):
        return _RESOLVER_WORDS.get(error.errno or 0, "the name cannot be resolved")
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # asyncio puts the address into its own text, so the system's words for the number are clearer.
    return os.strerror(error.errno) if error.errno else "the connection was closed without an answer"


class PassphraseNeeded(ValueError):
    """A file holds a private key that has a passphrase."""


def no_passphrase() -> str:
    """Raise PassphraseNeeded. Without this callback, OpenSSL would ask for the passphrase on the terminal."""
    raise PassphraseNeeded("the key has a passphrase")


def certificate_words(error: Exception) -> str:
    """Return the reason for which OpenSSL cannot use files with certificates and keys, without its words."""
    if isinstance(error, PassphraseNeeded):
        return "the key has a passphrase"
    if not isinstance(error, ssl.SSLError):
        return (error.strerror or "the system failed") if isinstance(error, OSError) else "it is not PEM"
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key belongs to another certificate"
    named = (error.reason or "").replace("_", " ").lower()
    return "it is not PEM, or damaged" if named in _NO_PEM else f"OpenSSL refuses it ({named or 'no reason given'})"


def distrust_words(error: Exception) -> str:
    """Return the reason for which OpenSSL does not trust a certificate, without its words."""
    code = getattr(error, "verify_code", 0)
    named = _NAMED.search(getattr(error, "verify_message", ""))
    told = _DISTRUST.get(code, f"OpenSSL refuses it (reason {code})" if code else "it cannot be verified")
    return told if named is None else f"{told} than {named[1]}"


def how_to_trust(error: Exception, ca_setting: str) -> str:
    """Return what helps if the certificate of a server is not trusted.

    Args:
        error: the error.
        ca_setting: the setting that names the file of the authority.
    """
    needs_authority = f"let this machine trust its authority, or name the file of the authority in {ca_setting}"
    return _TRUST.get(getattr(error, "verify_code", 0), needs_authority)


def _who(place: Path | None) -> str:
    """Return whose access is needed."""
    for folder in () if place is None else (place, *place.absolute().parents):
        with suppress(OSError, KeyError):
            return f"run as its owner: sudo -u {pwd.getpwuid(folder.stat().st_uid).pw_name} …"
    return "run as its owner"


def _disk(place: Path | None) -> str:
    return "the disk" if place is None else f"the disk of {place if place.is_dir() else place.parent}"


def _exists(folder: Path) -> bool:
    with suppress(OSError):
        return folder.exists()
    return True
