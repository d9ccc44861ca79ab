"""What is found out about the configs of plugins, in words. Each was measured on engines 20.10 and 26.1, or says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mirror.plugin.findings import Finding, Severity, shown

#: What an engine says to whoever enables a plugin; newer ones begin with "failed to create task for container".
_RUNC: Final = "enabling fails: 'OCI runtime create failed: ... {}'"
_NO_SOCKET: Final = "enabling fails after 13 to 23 s: 'dial unix /run/docker/plugins/ID/{}'"


def entrypoint_empty() -> Finding:
    """Neither an entrypoint nor arguments."""
    return Finding(
        "entrypoint-empty",
        Severity.ERROR,
        "there is no entrypoint",
        "all",
        _RUNC.format("args must not be empty"),
        'name the program: "Entrypoint": ["/path/in/rootfs"]',
    )


def work_dir_relative(work_dir: str) -> Finding:
    """A WorkDir without its slash."""
    return Finding(
        "work-dir-relative",
        Severity.ERROR,
        f"WorkDir {shown(work_dir)!r} is relative",
        "all",
        _RUNC.format("Cwd must be an absolute path"),
        f"write it from the root: {shown('/' + work_dir)!r}",
    )


def socket_empty() -> Finding:
    """No name for the socket."""
    return Finding(
        "socket-empty",
        Severity.ERROR,
        "Interface.Socket is empty",
        "all",
        _NO_SOCKET.format(": connect: connection refused"),
        "give the name of the socket that the program makes in /run/docker/plugins",
    )


def socket_long(socket: str, most_bytes: int) -> Finding:
    """A socket that has no room behind the folder that the engine dials it in."""
    return Finding(
        "socket-long",
        Severity.ERROR,
        f"the socket's name {shown(socket)!r} is longer than {most_bytes} bytes",
        "all",
        _NO_SOCKET.format("NAME: connect: invalid argument', or 'Unix socket path ... is too long"),
        "give the name alone, without folders, and a shorter one",
    )


def protocol_scheme(scheme: str) -> Finding:
    """Not plugins over HTTP."""
    return Finding(
        "protocol-scheme",
        Severity.HINT,
        f"ProtocolScheme {shown(scheme)!r} is not that of Docker's plugins",
        "since 18.06",
        "the engine neither waits for the socket nor talks to it: only something else can use the plugin",
        "leave it empty where the engine is to use the plugin",
    )


def types_missing() -> Finding:
    """No interface."""
    return Finding(
        "types-missing",
        Severity.ERROR,
        "Interface.Types is empty",
        "all",
        "it is enabled, and nothing ever uses it: 'plugin not found' when its driver is asked for",
        'name what it does: "Types": ["docker.volumedriver/1.0"]',
    )


def type_mangled(name: str) -> Finding:
    """A type that the parser up to 28 makes something else of."""
    return Finding(
        "type-mangled",
        Severity.ERROR,
        f"interface type {shown(name)!r} is not of the form docker.CAPABILITY/VERSION",
        "up to 28",
        "it is enabled, and its driver is not found: the engine keeps another type than is written",
        "write it whole, such as docker.volumedriver/1.0",
    )


def type_unknown(name: str) -> Finding:
    """A type that no engine asks for."""
    return Finding(
        "type-unknown",
        Severity.WARNING,
        f"no engine asks for a plugin of type {shown(name)!r}",
        "all",
        "it is enabled, and this type is never used",
        "engines ask for docker.CAPABILITY/1.0 exactly, in lower case",
    )


def capability_unknown(name: str) -> Finding:
    """Not the name of a capability."""
    return Finding(
        "capability-unknown",
        Severity.WARNING,
        f"{shown(name)!r} is no capability",
        "all",
        "it is passed over without a word: the program lacks the right, and fails when it needs it",
        "write it as CAP_SYS_ADMIN, with CAP_ and in upper case",
    )


def mount_source_missing(name: str, key: str | None) -> Finding:
    """A mount without a source; the key of the setting that gives one, if any does."""
    return _unset(
        "mount-source-missing", f"mount {shown(name)!r} has no source", "'mount source is not specified'", key
    )


def device_path_missing(name: str, key: str | None) -> Finding:
    """A device without a path; the key of the setting that gives one, if any does."""
    seen = "the engine breaks off in the middle: 'error during connect ... EOF'"
    return _unset("device-path-missing", f"device {shown(name)!r} has no path", seen, key)


def _unset(code: str, text: str, seen: str, key: str | None) -> Finding:
    if key is not None:
        told = f"{text} until it is set"
        return Finding(
            code, Severity.WARNING, told, "all", f"enabling fails: {seen}", f"install it with {shown(key)}=..."
        )
    mend = "give it one, or let the host do so with Settable"
    return Finding(code, Severity.ERROR, text, "all", f"enabling fails: {seen}", mend)


def mount_unbound(source: str, destination: str) -> Finding:
    """A folder of the host without the option that has it mounted."""
    return Finding(
        "mount-unbound",
        Severity.ERROR,
        f"the mount of {shown(source)} at {shown(destination)} has neither option bind nor rbind",
        "all",
        _RUNC.format(f'error mounting "{shown(source)}" ...: no such device'),
        'add "Options": ["rbind"]: the type bind alone does nothing',
    )


def mount_source_relative(source: str) -> Finding:
    """A source without its slash."""
    return Finding(
        "mount-source-relative",
        Severity.ERROR,
        f"mount source {shown(source)!r} is relative",
        "all",
        _RUNC.format("error mounting ...: stat ...: no such file or directory"),
        "write it from the root of the host",
    )


def mount_destination_empty(source: str) -> Finding:
    """Nowhere to be mounted."""
    return Finding(
        "mount-destination-empty",
        Severity.ERROR,
        f"the mount of {shown(source)} has no destination",
        "all",
        _RUNC.format("error closing exec fds: open /proc/self/fd: no such file or directory"),
        "give the path in the plugin at which it is to be found",
    )


def mount_reach(reached: str) -> Finding:
    """Something of the host that a mount gives away without the engine asking for it as it is."""
    return Finding(
        "mount-reach",
        Severity.WARNING,
        f"it gets more of the host than its source says: {reached}",
        "all",
        "the engine asks for the source alone before it installs it, and nobody is told of the rest",
        'write a bind mount of what is needed: "Type": "bind", "Options": ["rbind"], and the path as the source',
    )


def user_ignored(user_id: int, group_id: int) -> Finding:
    """A user that is not root."""
    return Finding(
        "user-ignored",
        Severity.HINT,
        f"User says {user_id}:{group_id}, and no engine heeds it",
        "all",
        "the program runs as root",
        "let the program itself become another user, if it is to be one",
    )


def host_paths(paths: Iterable[str]) -> Finding:
    """Folders and devices that not every host has."""
    return Finding(
        "host-paths",
        Severity.HINT,
        f"it needs of the host: {shown(', '.join(paths))}",
        "all",
        "where one is missing, enabling fails: 'stat ...: no such file or directory'; engines make none of them",
        "make the folders on the host before, load the drivers of the devices",
    )


def network_type(name: str) -> Finding:
    """A network that engines do not make."""
    return Finding(
        "network-type",
        Severity.WARNING,
        f"network type {shown(name)!r} gives the plugin no network",
        "all",
        "it has the loopback and nothing else, whatever the type is, unless it is host",
        "write host where the plugin talks to anything, and leave it empty otherwise",
    )


def namespaces_dropped() -> Finding:
    """IpcHost or PidHost, which came with 17.05."""
    return Finding(
        "namespaces-dropped",
        Severity.WARNING,
        "it needs a namespace of the host (IpcHost, PidHost)",
        "before 17.05",
        "it is enabled without that, and without a word",
        "install it on newer engines only",
    )


def plugins_folder_hidden() -> Finding:
    """A mount where the engine mounts its own."""
    return Finding(
        "plugins-folder-hidden",
        Severity.HINT,
        "a mount at /run/docker/plugins lies under the engine's own",
        "all",
        "it is enabled, and the mount is never seen",
        "leave it out: the engine gives the plugin its folder there",
    )
