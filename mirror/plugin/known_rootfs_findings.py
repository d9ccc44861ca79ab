"""What is found out about the root filesystems of plugins, in words. Measured on engines 20.10 and 26.1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mirror.plugin.findings import Finding, Severity, shown
from mirror.plugin.platform import Platform

_EXEC: Final = "enabling fails: 'OCI runtime create failed: ... exec: \"{}\": {}'"
_NO_SOCKET: Final = (
    "enabling fails after 13 s: 'dial unix /run/docker/plugins/ID/...: connect: no such file or directory'; "
    "the daemon's log has '{}'"
)


def program_missing(name: str) -> Finding:
    """An entrypoint that is not there."""
    why = f"stat {shown(name)}: no such file or directory" if "/" in name else "executable file not found in $PATH"
    return Finding(
        "entrypoint-missing",
        Severity.ERROR,
        f"the entrypoint {shown(name)} is not in the root filesystem",
        "all",
        _EXEC.format(shown(name), why),
        "put the program into rootfs, at this path, or mend Entrypoint; a link must lead to something in rootfs",
    )


def program_not_executable(name: str, what: str) -> Finding:
    """An entrypoint without the bit, or that is no file."""
    return Finding(
        "entrypoint-not-executable",
        Severity.ERROR,
        f"the entrypoint {shown(name)} is {what}",
        "all",
        _EXEC.format(shown(name), "permission denied"),
        f"chmod +x rootfs{shown(name)}, and create the plugin again" if what == "not executable" else "name a program",
    )


def no_program(name: str) -> Finding:
    """A file that the kernel does not know how to start."""
    return Finding(
        "entrypoint-no-program",
        Severity.ERROR,
        f"{shown(name)} is neither an ELF program nor a script that begins with #!",
        "all",
        _NO_SOCKET.format("exec format error"),
        "begin a script with the line #!/bin/sh, at its very first byte",
    )


def interpreter_missing(name: str, interpreter: str) -> Finding:
    """A script whose interpreter is not there."""
    end = interpreter.endswith("\r")
    mend = "write its lines with LF at their end, not CRLF" if end else "put it into rootfs, or use a static program"
    return Finding(
        "interpreter-missing",
        Severity.ERROR,
        f"the script {shown(name)} is for {shown(interpreter)}, which is not in the root filesystem",
        "all",
        _NO_SOCKET.format("no such file or directory"),
        mend,
    )


def loader_missing(name: str, loader: str) -> Finding:
    """A dynamic program without its loader."""
    return Finding(
        "loader-missing",
        Severity.ERROR,
        f"the program {shown(name)} needs the loader {shown(loader)}, which is not in the root filesystem",
        "all",
        _NO_SOCKET.format("no such file or directory"),
        "link the program statically (Go: CGO_ENABLED=0), or take the loader and its libraries into rootfs",
    )


def libraries_missing(name: str, libraries: Iterable[str]) -> Finding:
    """A dynamic program without what it is linked with."""
    return Finding(
        "libraries-missing",
        Severity.ERROR,
        f"the program {shown(name)} needs {shown(', '.join(libraries))}, which the root filesystem has nowhere",
        "all",
        _NO_SOCKET.format("error while loading shared libraries"),
        "put them into rootfs (ldd shows what is needed), or link the program statically",
    )


def platform_wrong(name: str, platform: Platform, wanted: Platform, why: str) -> Finding:
    """A program for something else than is meant."""
    return Finding(
        "platform-wrong",
        Severity.ERROR,
        f"{shown(name)} is a program for {platform}, and {shown(why)} {wanted}",
        "all",
        _NO_SOCKET.format("exec format error"),
        f"build it for {wanted}, or give it a tag and a host for {platform}",
    )


def platform_unknown(name: str) -> Finding:
    """A program for a machine that no engine runs on."""
    return Finding(
        "platform-unknown",
        Severity.ERROR,
        f"{shown(name)} is a program for a machine that no engine runs on",
        "all",
        _NO_SOCKET.format("exec format error"),
        "build it for the machine of the host",
    )


def socket_unmentioned(socket: str) -> Finding:
    """A socket that no file speaks of."""
    return Finding(
        "socket-unmentioned",
        Severity.HINT,
        f"neither the config's arguments nor any file of the plugin mentions {shown(socket)}",
        "all",
        "if the program listens elsewhere, enabling fails after 23 s: 'dial unix ...: connect: no such file or "
        "directory'",
        f"see that it listens on /run/docker/plugins/{shown(socket)}",
    )


def whiteouts(names: Iterable[str]) -> Finding:
    """Names that delete others."""
    return Finding(
        "whiteouts",
        Severity.WARNING,
        f"names that begin with .wh.: {shown(', '.join(names))}",
        "all",
        "they are there on the host that created the plugin; wherever it is installed they are not, and delete what "
        "they name where that was unpacked before",
        "rename them",
    )


def links_broken(links: Iterable[str]) -> Finding:
    """Hard links to nothing."""
    return Finding(
        "hard-links-broken",
        Severity.ERROR,
        f"hard links to what is not there: {shown(', '.join(links))}",
        "all",
        "the install fails as it unpacks the layer: 'no such file or directory'",
        "create the plugin again from a whole folder",
    )


def names_long(names: Iterable[str]) -> Finding:
    """Names beyond what Linux takes."""
    return Finding(
        "names-long",
        Severity.ERROR,
        f"names that are too long: {shown(', '.join(names))}",
        "all",
        "the install fails as it unpacks the layer: 'file name too long'",
        "names end at 255 bytes, paths at 4095",
    )


def propagated_missing(path: str) -> Finding:
    """A propagated mount without its folder."""
    return Finding(
        "propagated-mount-missing",
        Severity.WARNING,
        f"the folder of PropagatedMount, {shown(path)}, is not in the root filesystem",
        "up to 17.12",
        "enabling fails; newer ones make it",
        "make the folder in rootfs",
    )


def too_much() -> Finding:
    """More than is looked at."""
    return Finding(
        "rootfs-not-read",
        Severity.WARNING,
        "the root filesystem has more in it than is looked at",
        "all",
        "unknown: what it would be started with was not looked for",
        "take out of it what the plugin does not need",
    )


def rootfs_missing() -> Finding:
    """A folder for an engine's create without its other half."""
    return Finding(
        "rootfs-missing",
        Severity.ERROR,
        "there is no folder rootfs beside config.json",
        "all",
        "'docker plugin create' fails: 'no rootfs found: EOF'",
        "put the plugin's files into rootfs/",
    )
