"""The table of findings about root filesystems of plugins. Measured on engines 20.10 and 26.1."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.lint.finding_kind import error, hint, warning

_EXEC: Final = "enabling fails: 'OCI runtime create failed: ... exec: \"{{name}}\": {}'"
_NO_SOCKET: Final = (
    "enabling fails after 13 s: 'dial unix /run/docker/plugins/ID/...: connect: no such file or directory'; "
    "the daemon's log has '{}'"
)
_EXEC_FORMAT: Final = _NO_SOCKET.format("exec format error")
_NO_FILE: Final = _NO_SOCKET.format("no such file or directory")

PROGRAM_MISSING: Final = error(
    code="entrypoint-missing",
    text="the entrypoint {name} is not in the root filesystem",
    seen=_EXEC.format("stat {name}: no such file or directory"),
    fix="put the program into rootfs, at this path, or mend Entrypoint; a link must lead to something in rootfs",
)
PROGRAM_NOT_IN_PATH: Final = replace(PROGRAM_MISSING, seen=_EXEC.format("executable file not found in $PATH"))
PROGRAM_NOT_EXECUTABLE: Final = error(
    code="entrypoint-not-executable",
    text="the entrypoint {name} is not executable",
    seen=_EXEC.format("permission denied"),
    fix="chmod +x rootfs{name}, and create the plugin again",
)
PROGRAM_NOT_A_FILE: Final = error(
    code="entrypoint-not-executable",
    text="the entrypoint {name} is no file but a {file_kind}",
    seen=_EXEC.format("permission denied"),
    fix="name a program",
)
NO_PROGRAM: Final = error(
    code="entrypoint-no-program",
    text="{name} is neither an ELF program nor a script that begins with #!",
    seen=_EXEC_FORMAT,
    fix="begin a script with the line #!/bin/sh, at its very first byte",
)
INTERPRETER_MISSING: Final = error(
    code="interpreter-missing",
    text="the script {name} is for {interpreter}, which is not in the root filesystem",
    seen=_NO_FILE,
    fix="put it into rootfs, or use a static program",
)
INTERPRETER_CRLF: Final = replace(INTERPRETER_MISSING, fix="write its lines with LF at their end, not CRLF")
LOADER_MISSING: Final = error(
    code="loader-missing",
    text="the program {name} needs the loader {loader}, which is not in the root filesystem",
    seen=_NO_FILE,
    fix="link the program statically (Go: CGO_ENABLED=0), or take the loader and its libraries into rootfs",
)
LIBRARIES_MISSING: Final = error(
    code="libraries-missing",
    text="the program {name} needs {libraries}, which the root filesystem has nowhere",
    seen=_NO_SOCKET.format("error while loading shared libraries"),
    fix="put them into rootfs (ldd shows what is needed), or link the program statically",
)
PLATFORM_WRONG: Final = error(
    code="platform-wrong",
    text="{name} is a program for {platform}, and {why} {wanted}",
    seen=_EXEC_FORMAT,
    fix="build it for {wanted}, or give it a tag and a host for {platform}",
)
PLATFORM_UNKNOWN: Final = error(
    code="platform-unknown",
    text="{name} is a program for a machine that no engine runs on",
    seen=_EXEC_FORMAT,
    fix="build it for the machine of the host",
)
SOCKET_UNMENTIONED: Final = hint(
    code="socket-unmentioned",
    text="neither the config's arguments nor any file of the plugin mentions {socket}",
    seen="if the program listens elsewhere, enabling fails after 23 s: 'dial unix ...: connect: no such file or "
    "directory'",
    fix="see that it listens on /run/docker/plugins/{socket}",
)
WHITEOUTS: Final = warning(
    code="whiteouts",
    text="names that begin with .wh.: {names}",
    seen="they are there on the host that created the plugin; wherever it is installed they are not, and delete what "
    "they name where that was unpacked before",
    fix="rename them",
)
HARD_LINKS_BROKEN: Final = error(
    code="hard-links-broken",
    text="hard links to what is not there: {names}",
    seen="the install fails as it unpacks the layer: 'no such file or directory'",
    fix="create the plugin again from a whole folder",
)
NAMES_LONG: Final = error(
    code="names-long",
    text="names that are too long: {names}",
    seen="the install fails as it unpacks the layer: 'file name too long'",
    fix="names end at 255 bytes, paths at 4095",
)
PROPAGATED_MOUNT_MISSING: Final = warning(
    code="propagated-mount-missing",
    text="the folder of PropagatedMount, {path}, is not in the root filesystem",
    engines="up to 17.12",
    seen="enabling fails; newer ones make it",
    fix="make the folder in rootfs",
    keeps_out=True,
)
ROOTFS_NOT_READ: Final = warning(
    code="rootfs-not-read",
    text="the root filesystem has more in it than is looked at",
    seen="unknown: what it would be started with was not looked for",
    fix="take out of it what the plugin does not need",
)
# A folder for an engine's create without its other half.
ROOTFS_MISSING: Final = error(
    code="rootfs-missing",
    text="there is no folder rootfs beside config.json",
    seen="'docker plugin create' fails: 'no rootfs found: EOF'",
    fix="put the plugin's files into rootfs/",
)
