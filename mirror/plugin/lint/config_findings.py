"""The table of findings about configs of plugins. Each was measured on engines 20.10 and 26.1, or says so."""

from __future__ import annotations

from typing import Final

from mirror.plugin.lint.finding_kind import error, hint, warning

#: What an engine says to whoever enables a plugin; newer ones begin with "failed to create task for container".
_RUNC: Final = "enabling fails: 'OCI runtime create failed: ... {}'"
_NO_SOCKET: Final = "enabling fails after 13 to 23 s: 'dial unix /run/docker/plugins/ID/{}'"
_GIVE_ONE: Final = "give it one, or let the host do so with Settable"
_NO_SOURCE: Final = "enabling fails: 'mount source is not specified'"
_NO_DEVICE: Final = "enabling fails: the engine breaks off in the middle: 'error during connect ... EOF'"

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
    fix="write it from the root: {absolute!r}",
)
SOCKET_EMPTY: Final = error(
    code="socket-empty",
    text="Interface.Socket is empty",
    seen=_NO_SOCKET.format(": connect: connection refused"),
    fix="give the name of the socket that the program makes in /run/docker/plugins",
)
# A name that leaves no room behind the folder in which the engine dials the socket.
SOCKET_LONG: Final = error(
    code="socket-long",
    text="the socket's name {socket!r} is longer than {most_bytes} bytes",
    seen=_NO_SOCKET.format("NAME: connect: invalid argument', or 'Unix socket path ... is too long"),
    fix="give the name alone, without folders, and a shorter one",
)
PROTOCOL_SCHEME: Final = hint(
    code="protocol-scheme",
    text="ProtocolScheme {scheme!r} is not that of Docker's plugins",
    engines="since 18.06",
    seen="the engine neither waits for the socket nor talks to it: only something else can use the plugin",
    fix="leave it empty where the engine is to use the plugin",
)
TYPES_MISSING: Final = error(
    code="types-missing",
    text="Interface.Types is empty",
    seen="it is enabled, and nothing ever uses it: 'plugin not found' when its driver is asked for",
    fix='name what it does: "Types": ["docker.volumedriver/1.0"]',
)
# The parser of engines up to 28 makes another type of it.
TYPE_MANGLED: Final = error(
    code="type-mangled",
    text="interface type {name!r} is not of the form docker.CAPABILITY/VERSION",
    engines="up to 28",
    seen="it is enabled, and its driver is not found: the engine keeps another type than is written",
    fix="write it whole, such as docker.volumedriver/1.0",
)
TYPE_UNKNOWN: Final = warning(
    code="type-unknown",
    text="no engine asks for a plugin of type {name!r}",
    seen="it is enabled, and this type is never used",
    fix="engines ask for docker.CAPABILITY/1.0 exactly, in lower case",
)
CAPABILITY_UNKNOWN: Final = warning(
    code="capability-unknown",
    text="{name!r} is no capability",
    seen="it is passed over without a word: the program lacks the right, and fails when it needs it",
    fix="write it as CAP_SYS_ADMIN, with CAP_ and in upper case",
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
    fix="write it from the root of the host",
)
MOUNT_DESTINATION_EMPTY: Final = error(
    code="mount-destination-empty",
    text="the mount of {source} has no destination",
    seen=_RUNC.format("error closing exec fds: open /proc/self/fd: no such file or directory"),
    fix="give the path in the plugin at which it is to be found",
)
MOUNT_REACH: Final = warning(
    code="mount-reach",
    text="it gets more of the host than its source says: {reach}",
    seen="the engine asks for the source alone before it installs it, and nobody is told of the rest",
    fix='write a bind mount of what is needed: "Type": "bind", "Options": ["rbind"], and the path as the source',
    own_words=frozenset({"reach"}),
)
USER_IGNORED: Final = hint(
    code="user-ignored",
    text="User says {user_id}:{group_id}, and no engine heeds it",
    seen="the program runs as root",
    fix="let the program itself become another user, if it is to be one",
)
HOST_PATHS: Final = hint(
    code="host-paths",
    text="it needs of the host: {paths}",
    seen="where one is missing, enabling fails: 'stat ...: no such file or directory'; engines make none of them",
    fix="make the folders on the host before, load the drivers of the devices",
)
NETWORK_TYPE: Final = warning(
    code="network-type",
    text="network type {name!r} gives the plugin no network",
    seen="it has the loopback and nothing else, whatever the type is, unless it is host",
    fix="write host where the plugin talks to anything, and leave it empty otherwise",
)
# IpcHost and PidHost came with 17.05.
NAMESPACES_DROPPED: Final = warning(
    code="namespaces-dropped",
    text="it needs a namespace of the host (IpcHost, PidHost)",
    engines="before 17.05",
    seen="it is enabled without that, and without a word",
    fix="install it on newer engines only",
)
PLUGINS_FOLDER_HIDDEN: Final = hint(
    code="plugins-folder-hidden",
    text="a mount at /run/docker/plugins lies under the engine's own",
    seen="it is enabled, and the mount is never seen",
    fix="leave it out: the engine gives the plugin its folder there",
)
