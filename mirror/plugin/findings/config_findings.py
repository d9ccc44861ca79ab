"""Table of findings about configs of plugins. Measured on engines 20.10 and 26.1, unless noted otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.findings.finding_kind import RUNTIME_ERROR, error, hint, warning

_NO_SOCKET: Final = "enabling fails after 13 to 23 s: 'dial unix /run/docker/plugins/ID/{}'"

ENTRYPOINT_EMPTY: Final = error(
    code="entrypoint-empty",
    text="there is no entrypoint",
    seen=RUNTIME_ERROR.format("args must not be empty"),
    fix='name the program: "Entrypoint": ["/path/in/rootfs"]',
)
ENTRYPOINT_NAMELESS: Final = replace(
    ENTRYPOINT_EMPTY,
    text="the first word of the entrypoint, which names the program, is empty",
    seen=RUNTIME_ERROR.format('exec: "": executable file not found in $PATH'),
)
WORK_DIR_RELATIVE: Final = error(
    code="work-dir-relative",
    text="WorkDir {work_dir!r} is relative",
    seen=RUNTIME_ERROR.format("Cwd must be an absolute path"),
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
# The engine reads "unix://" and the socket's path as a URL. It dials the bare path only to see if somebody listens.
SOCKET_NAME: Final = error(
    code="socket-name",
    text="the socket's name {socket!r} has a character with a meaning in URLs: %, ?, # or a control character",
    seen="enabling fails: 'net/url: invalid control character in URL' or 'invalid URL escape'; or the plugin is "
    "enabled, and requests to it hang, because the engine dials another path",
    fix="use letters, digits, dots and dashes",
)
SOCKET_OUTSIDE: Final = replace(
    SOCKET_NAME,
    text="the socket's name {socket!r} leads out of the plugin's folder of sockets",
    seen="enabling fails after 13 to 23 s: 'dial unix /run/docker/plugins/...: connect: no such file or directory'",
    fix="use a name without '..'",
)
PROTOCOL_SCHEME_CRASHES: Final = error(
    code="protocol-scheme",
    text="with ProtocolScheme {scheme!r} the engine has no HTTP client for {names}, and calls it nevertheless",
    engines="since 18.06",
    seen="volumedriver: the plugin is enabled, and the next 'docker volume ls' kills the engine (nil pointer "
    "dereference); secretprovider: the first use kills the engine; networkdriver, ipamdriver, metricscollector: "
    "enabling fails with 'EOF'; the others: requests that use the plugin fail with 'EOF'",
    fix='remove "ProtocolScheme" from Interface',
)
PROTOCOL_SCHEME: Final = hint(
    code="protocol-scheme",
    text="ProtocolScheme {scheme!r} is not Docker's plugin protocol",
    engines="since 18.06",
    seen="the engine waits for the socket, but does not talk to the plugin: only other programs can use it",
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
TYPE_VERSION: Final = warning(
    code="type-unknown",
    text="engines look for the type {wanted}, not for {name!r}",
    seen="the plugin is enabled, but not found until the engine restarts: 'could not resolve driver ... in registry', "
    "'invalid ipam driver'; metrics are never passed to it",
    fix="write {wanted}",
)
TYPE_SINCE_17_05: Final = hint(
    code="type-since",
    text="older engines do not use plugins of type {names}",
    engines="before 17.05",
    seen="the plugin is enabled, but never used",
    fix="install it on newer engines only",
    keeps_out=True,
)
TYPE_SINCE_17_06: Final = replace(TYPE_SINCE_17_05, engines="before 17.06")
TYPE_SINCE_17_07: Final = replace(TYPE_SINCE_17_05, engines="before 17.07")
TYPE_SINCE_23: Final = replace(TYPE_SINCE_17_05, engines="before 23")
TYPE_REMOVED: Final = warning(
    code="type-removed",
    text="newer engines no longer use plugins of type {names}",
    engines="since 28",
    seen="the plugin is enabled, but never used: engines before 28 use it in experimental mode only",
    fix="use a storage driver or a snapshotter of the engine",
    keeps_out=True,
)
CAPABILITY_UNKNOWN: Final = warning(
    code="capability-unknown",
    text="{name!r} is not a capability",
    seen="engines ignore it silently: the program lacks the capability, and fails when it needs the capability",
    fix="write it with CAP_ and in upper case, such as CAP_SYS_ADMIN",
)
USER_IGNORED: Final = hint(
    code="user-ignored",
    text="User is {user_id}:{group_id}, but engines ignore it",
    seen="the program runs as root",
    fix="let the program itself change its user if needed",
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
SECRET_DEFAULT: Final = warning(
    code="secret-default",
    text="these parts of the config look like secrets, by their names or values: {parts}",
    seen="everybody who may pull the plugin can read them; this is a guess from names and values",
    fix="leave the value empty in the config, and let the host set it at install",
)
# Tested with mounts, sockets and variables: an engine uses each text as it is.
TEMPLATE_LEFT: Final = warning(
    code="template-left",
    text="{where} has {placeholder!r}, which looks like a placeholder that was not filled when the plugin was built",
    seen="this is a guess from its form: engines replace nothing, so the plugin gets the text itself",
    fix="write the value, or fill config.template with 'plugin-mirror pack --set NAME=VALUE'",
)
