"""Table of findings about root filesystems of plugins. Measured on engines 20.10 and 26.1."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.findings.finding_kind import RUNTIME_ERROR, error, hint, warning

_EXEC: Final = RUNTIME_ERROR.format('exec: "{{name}}": {}')
# The engine dials the socket for 13 s after a program that has ended, and for 23 s while the program runs. The cause is
# only in the daemon's log.
_NO_SOCKET: Final = (
    "enabling fails after 13 s: 'dial unix /run/docker/plugins/ID/...: connect: no such file or directory'; "
    "the daemon's log has '{}'"
)
_EXEC_FORMAT: Final = _NO_SOCKET.format("exec format error")
# For a program that a script starts, the message is the shell's: ash and dash, then bash.
_NO_FILE: Final = _NO_SOCKET.format(
    "no such file or directory', 'not found' or 'cannot execute: required file not found"
)

PROGRAM_MISSING: Final = error(
    code="entrypoint-missing",
    text="the entrypoint {name} is not in the root filesystem",
    seen=_EXEC.format("stat {name}: no such file or directory"),
    fix="put the program into rootfs at this path, or fix Entrypoint; a link must lead to a file in rootfs",
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
    text="the entrypoint {name} is not a file but a {file_kind}",
    seen=_EXEC.format("permission denied"),
    fix="set Entrypoint to a program",
)
NO_PROGRAM: Final = error(
    code="entrypoint-no-program",
    text="{name} is neither an ELF program nor a script that begins with #!",
    seen=_EXEC_FORMAT,
    fix="start a script with the line #!/bin/sh, at its first byte",
)
INTERPRETER_MISSING: Final = error(
    code="interpreter-missing",
    text="the script {name} needs {interpreter}, which is not in the root filesystem",
    seen=_NO_FILE,
    fix="put it into rootfs, or use a static program",
)
# Linux takes the carriage return for a part of the interpreter's name.
INTERPRETER_CRLF: Final = replace(INTERPRETER_MISSING, fix="end the lines of the script with LF, not CRLF")
LOADER_MISSING: Final = error(
    code="loader-missing",
    text="the program {name} needs the loader {loader}, which is not in the root filesystem",
    seen=_NO_FILE,
    fix="link the program statically (Go: CGO_ENABLED=0), or put the loader and its libraries into rootfs",
)
LIBRARIES_MISSING: Final = error(
    code="libraries-missing",
    text="the program {name} needs libraries that are not in the root filesystem: {libraries}",
    seen=_NO_SOCKET.format("error while loading shared libraries"),
    fix="put them into rootfs (ldd lists them), or link the program statically",
)
PLATFORM_WRONG: Final = error(
    code="platform-wrong",
    text="{name} is a program for {platform}, but {why} {wanted}",
    seen=_EXEC_FORMAT,
    fix="build it for {wanted}, or use a tag and hosts for {platform}",
)
PLATFORM_UNKNOWN: Final = error(
    code="platform-unknown",
    text="{name} is a program for a machine on which no engine runs",
    seen=_EXEC_FORMAT,
    fix="build it for the machine of the host",
)
SOCKET_UNMENTIONED: Final = hint(
    code="socket-unmentioned",
    text="neither the config's arguments nor any file of the plugin mentions {socket}",
    seen="if the program listens elsewhere, enabling fails after 23 s: 'dial unix ...: connect: no such file or "
    "directory'",
    fix="make sure that the program listens on /run/docker/plugins/{socket}",
)
WHITEOUTS: Final = warning(
    code="whiteouts",
    text="names that begin with .wh.: {names}",
    seen="the files exist on the host that created the plugin; on other hosts the install takes them for deletions, "
    "and removes the files that they name",
    fix="rename them",
)
HARD_LINKS_BROKEN: Final = error(
    code="hard-links-broken",
    text="hard links to missing files: {names}",
    seen="the install fails while unpacking the layer: 'no such file or directory'",
    fix="create the plugin again from the complete folder",
)
NAMES_LONG: Final = error(
    code="names-long",
    text="names that are too long: {names}",
    seen="the install fails while unpacking the layer: 'file name too long'",
    fix="use names of at most 255 bytes and paths of at most 4095 bytes",
)
PROPAGATED_MOUNT_MISSING: Final = warning(
    code="propagated-mount-missing",
    text="the folder of PropagatedMount, {path}, is not in the root filesystem",
    engines="up to 17.12",
    seen="enabling fails; newer engines create the folder",
    fix="create the folder in rootfs",
    keeps_out=True,
)
ROOTFS_NOT_READ: Final = warning(
    code="rootfs-not-read",
    text="the root filesystem exceeds the limits of the checks",
    seen="unknown: the program and its libraries were not checked",
    fix="remove the files that the plugin does not need",
)
# Found in a folder for 'docker plugin create', not in a registry.
ROOTFS_MISSING: Final = error(
    code="rootfs-missing",
    text="there is no folder rootfs beside config.json",
    seen="'docker plugin create' fails: 'no rootfs found: EOF'",
    fix="put the plugin's files into rootfs/",
)
