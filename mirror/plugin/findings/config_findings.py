"""Table of findings about configs of plugins. Measured on engines 20.10 and 26.1, unless noted otherwise."""

from __future__ import annotations

from typing import Final

from mirror.plugin.findings.finding_kind import error, hint, warning

#: Error of engines when a plugin is enabled. Newer engines begin it with "failed to create task for container".
_RUNC: Final = "enabling fails: 'OCI runtime create failed: ... {}'"
_NO_SOCKET: Final = "enabling fails after 13 to 23 s: 'dial unix /run/docker/plugins/ID/{}'"
_GIVE_ONE: Final = "set one, or let the host set one with Settable"
_NO_SOURCE: Final = "enabling fails: 'mount source is not specified'"
# The engine panics in the request, so the client sees a closed connection.
_NO_DEVICE: Final = "enabling fails: the engine aborts the request: 'error during connect ... EOF'"

ENTRYPOINT_EMPTY: Final = error(
    code="entrypoint-empty",
    text="there is no entrypoint",
    seen=_RUNC.format("args must not be empty"),
    fix='name the program: "Entrypoint": ["/path/in/rootfs"]',
)
WORK_DIR_RELATIVE: Final = error(
    code="work-dir-relative",
    text="WorkDir {work_dir!r} is relative",
    seen=_RUNC.format("Cwd must be an absolute path"),
    fix="use the absolute path {absolute!r}",
)
SOCKET_EMPTY: Final = error(
    code="socket-empty",
    text="Interface.Socket is empty",
    seen=_NO_SOCKET.format(": connect: connection refused"),
    fix="set the name of the socket that the program creates in /run/docker/plugins",
)
# The engine dials the socket in a folder of its own, and the whole path must fit into a socket address.
SOCKET_LONG: Final = error(
    code="socket-long",
    text="the socket's name {socket!r} is longer than {most_bytes} bytes",
    seen=_NO_SOCKET.format("NAME: connect: invalid argument', or 'Unix socket path ... is too long"),
    fix="use a shorter name, without folders",
)
PROTOCOL_SCHEME: Final = hint(
    code="protocol-scheme",
    text="ProtocolScheme {scheme!r} is not Docker's plugin protocol",
    engines="since 18.06",
    seen="the engine neither waits for the socket nor talks to the plugin: only other programs can use it",
    fix="leave it empty if the engine should use the plugin",
)
TYPES_MISSING: Final = error(
    code="types-missing",
    text="Interface.Types is empty",
    seen="the plugin is enabled but never used: requests for its driver fail with 'plugin not found'",
    fix='list its interfaces: "Types": ["docker.volumedriver/1.0"]',
)
# The parser of engines up to 28 reads such a type as a different one.
TYPE_MANGLED: Final = error(
    code="type-mangled",
    text="interface type {name!r} is not of the form docker.CAPABILITY/VERSION",
    engines="up to 28",
    seen="the plugin is enabled, but its driver is not found: the engine stores a different type",
    fix="write the complete type, such as docker.volumedriver/1.0",
)
TYPE_UNKNOWN: Final = warning(
    code="type-unknown",
    text="no engine uses plugins of type {name!r}",
    seen="the plugin is enabled, but this type is never used",
    fix="use docker.CAPABILITY/1.0 exactly, in lower case",
)
CAPABILITY_UNKNOWN: Final = warning(
    code="capability-unknown",
    text="{name!r} is not a capability",
    seen="engines ignore it silently: the program lacks the capability, and fails when it needs the capability",
    fix="write it with CAP_ and in upper case, such as CAP_SYS_ADMIN",
)
MOUNT_SOURCE_MISSING: Final = error(
    code="mount-source-missing", text="mount {name!r} has no source", seen=_NO_SOURCE, fix=_GIVE_ONE
)
MOUNT_SOURCE_UNSET: Final = warning(
    code="mount-source-missing",
    text="mount {name!r} has no source until it is set",
    seen=_NO_SOURCE,
    fix="install it with {key}=...",
)
DEVICE_PATH_MISSING: Final = error(
    code="device-path-missing", text="device {name!r} has no path", seen=_NO_DEVICE, fix=_GIVE_ONE
)
DEVICE_PATH_UNSET: Final = warning(
    code="device-path-missing",
    text="device {name!r} has no path until it is set",
    seen=_NO_DEVICE,
    fix="install it with {key}=...",
)
MOUNT_UNBOUND: Final = error(
    code="mount-unbound",
    text="the mount of {source} at {destination} has neither option bind nor rbind",
    seen=_RUNC.format('error mounting "{source}" ...: no such device'),
    fix='add "Options": ["rbind"]: the type bind alone does nothing',
)
MOUNT_SOURCE_RELATIVE: Final = error(
    code="mount-source-relative",
    text="mount source {source!r} is relative",
    seen=_RUNC.format("error mounting ...: stat ...: no such file or directory"),
    fix="use an absolute path on the host",
)
MOUNT_DESTINATION_EMPTY: Final = error(
    code="mount-destination-empty",
    text="the mount of {source} has no destination",
    seen=_RUNC.format("error closing exec fds: open /proc/self/fd: no such file or directory"),
    fix="set the path at which the plugin sees the mount",
)
MOUNT_REACH: Final = warning(
    code="mount-reach",
    text="the plugin gets more access to the host than the source of its mount shows: {reach}",
    seen="before an install the engine asks only for the source, so nobody learns about the rest",
    fix='use a bind mount of the needed path: "Type": "bind", "Options": ["rbind"], and the path as the source',
    own_words=frozenset({"reach"}),
)
USER_IGNORED: Final = hint(
    code="user-ignored",
    text="User is {user_id}:{group_id}, but engines ignore it",
    seen="the program runs as root",
    fix="let the program itself change its user if needed",
)
HOST_PATHS: Final = hint(
    code="host-paths",
    text="the plugin needs these paths on the host: {paths}",
    seen="if one is missing, enabling fails: 'stat ...: no such file or directory'; engines create none of them",
    fix="create the folders on the host first, and load the drivers of the devices",
)
NETWORK_TYPE: Final = warning(
    code="network-type",
    text="network type {name!r} gives the plugin no network",
    seen="the plugin has only the loopback interface, with any type except host",
    fix="use host if the plugin needs a network, otherwise leave the type empty",
)
# IpcHost and PidHost came with 17.05.
NAMESPACES_DROPPED: Final = warning(
    code="namespaces-dropped",
    text="the plugin needs a namespace of the host (IpcHost, PidHost)",
    engines="before 17.05",
    seen="the plugin is enabled without the namespace, and without a warning",
    fix="install it on newer engines only",
)
PLUGINS_FOLDER_HIDDEN: Final = hint(
    code="plugins-folder-hidden",
    text="a mount at /run/docker/plugins is hidden by the engine's own mount",
    seen="the plugin is enabled, but never sees the mount",
    fix="remove the mount: the engine provides this folder",
)
# Tested with mounts, sockets and variables: an engine uses each text as it is.
TEMPLATE_LEFT: Final = warning(
    code="template-left",
    text="{where} has {placeholder!r}, which looks like a placeholder that was not filled when the plugin was built",
    seen="this is a guess from its form: engines replace nothing, so the plugin gets the text itself",
    fix="write the value, or fill config.template with 'plugin-mirror pack --set NAME=VALUE'",
)
