"""Table of findings about mounts, devices and paths on the host. Measured on engines 20.10 and 26.1 with runc 1.1."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mirror.plugin.findings.finding_kind import RUNTIME_ERROR, error, hint, warning

_MOUNTING: Final = RUNTIME_ERROR.format("error mounting ...: {}")
# The engine panics in the request, so the client sees a closed connection.
_NO_DEVICE: Final = "enabling fails: the engine aborts the request: 'error during connect ... EOF'"
_NEVER_SET: Final = "; setting one fails: 'Plugin config has no {}'"

MOUNT_SOURCE_MISSING: Final = error(
    code="mount-source-missing",
    text="mount {name!r} has no source",
    seen="enabling fails: 'mount source is not specified'",
    fix="set one",
)
MOUNT_SOURCE_NEVER_SET: Final = replace(
    MOUNT_SOURCE_MISSING,
    text="mount {name!r} has no source, and can never get one, because null cannot be replaced",
    seen=MOUNT_SOURCE_MISSING.seen + _NEVER_SET.format("mount source"),
    fix='write a default, or "Source": "" if there is none, so that the host can set it',
)
MOUNT_SOURCE_EMPTY: Final = warning(
    code="mount-source-empty",
    text="the source of mount {name!r} is empty",
    seen="the plugin is enabled, and sees a folder of the engine's runtime in place of one of the host",
    fix="set a source",
)
MOUNT_SOURCE_UNSET: Final = replace(
    MOUNT_SOURCE_EMPTY, text="the source of mount {name!r} is empty until it is set", fix="install it with {key}=..."
)
DEVICE_PATH_MISSING: Final = error(
    code="device-path-missing", text="device {name!r} has no path", seen=_NO_DEVICE, fix="set one"
)
DEVICE_PATH_NEVER_SET: Final = replace(
    DEVICE_PATH_MISSING,
    text="device {name!r} has no path, and can never get one, because null cannot be replaced",
    seen=_NO_DEVICE + _NEVER_SET.format("device path"),
    fix='write a default, or "Path": "" if there is none, so that the host can set it',
)
DEVICE_PATH_EMPTY: Final = error(
    code="device-path-empty",
    text="the path of device {name!r} is empty",
    seen="enabling fails: 'error gathering device information while adding custom device \"\"'",
    fix="set one, or let the host set one with Settable",
)
DEVICE_PATH_UNSET: Final = warning(
    code="device-path-empty",
    text="the path of device {name!r} is empty and must be set",
    seen=DEVICE_PATH_EMPTY.seen,
    fix="install it with {key}=...",
)
DEVICE_NOT_A_NODE: Final = error(
    code="device-not-a-node",
    text="{path} is a file on every host, not a device",
    seen="enabling fails: 'error gathering device information while adding custom device ...: not a device node'",
    fix="use a mount for a file, and a device for a node in /dev",
)
MOUNT_UNBOUND: Final = error(
    code="mount-unbound",
    text="the mount of {source} at {destination} has neither option bind nor rbind",
    seen=RUNTIME_ERROR.format('error mounting "{source}" ...: no such device'),
    fix='add "Options": ["rbind"]: the type bind alone does nothing',
)
MOUNT_TYPE_CASE: Final = error(
    code="mount-type",
    text="the type {name!r} of the mount at {destination} is not in lower case",
    seen=_MOUNTING.format("no such device"),
    fix="write {wanted}",
)
MOUNT_TYPE_UNKNOWN: Final = warning(
    code="mount-type",
    text="the type {name!r} of the mount at {destination} is no known file system; this is a guess",
    seen=f"unless the host's kernel has it, {_MOUNTING.format('no such device')}",
    fix='add "Options": ["rbind"] if a folder of the host is meant',
)
MOUNT_NOT_A_DISK: Final = error(
    code="mount-type",
    text="the mount of {source} at {destination} has the type {name}, but {source} is not in /dev",
    seen=_MOUNTING.format("block device required"),
    fix='add "Options": ["rbind"] if a folder of the host is meant',
)
MOUNT_OVERLAY_EMPTY: Final = error(
    code="mount-type",
    text="the overlay mount at {destination} has no option lowerdir=",
    seen=_MOUNTING.format("invalid argument"),
    fix='name the lower folders: "Options": ["lowerdir=/one:/two"]',
)
MOUNT_SOURCE_RELATIVE: Final = error(
    code="mount-source-relative",
    text="mount source {source!r} is relative",
    seen=RUNTIME_ERROR.format("error mounting ...: stat ...: no such file or directory"),
    fix="use an absolute path on the host",
)
MOUNT_DESTINATION_EMPTY: Final = error(
    code="mount-destination-empty",
    text="the mount of {source} has no destination",
    seen=RUNTIME_ERROR.format("error closing exec fds: open /proc/self/fd: no such file or directory"),
    fix="set the path at which the plugin sees the mount",
)
MOUNT_DESTINATION_ROOT: Final = replace(
    MOUNT_DESTINATION_EMPTY,
    code="mount-destination-root",
    text="the mount of {source} covers the whole root filesystem of the plugin",
    fix="use a folder below /",
)
MOUNT_DESTINATION_RELATIVE: Final = hint(
    code="mount-destination-relative",
    text="the destination {destination!r} of a mount is relative",
    seen="the plugin sees the mount below /; runc warns that later releases will refuse it",
    fix="use the absolute path {absolute!r}",
)
MOUNT_IN_PROC: Final = error(
    code="mount-in-proc",
    text="{mount} is at {destination}",
    seen=_MOUNTING.format(
        "cannot be mounted because it is inside /proc', 'is not of type proc', or 'error closing exec fds"
    ),
    fix="use a place outside /proc",
)
MOUNT_IN_SYS: Final = warning(
    code="mount-in-sys",
    text="{mount} is at {destination}, where hosts may have no folder",
    seen=_MOUNTING.format("mkdir ...: read-only file system"),
    fix="use a place outside /sys; this is a guess, because the kernel of the host makes the folders of /sys",
)
MOUNT_OVER_DEV: Final = error(
    code="mount-over-dev",
    text="{mount} hides /dev of the plugin",
    seen=RUNTIME_ERROR.format("unable to setup user: stat /dev/null: no such file or directory"),
    fix="use another place",
)
MOUNT_DROPPED: Final = warning(
    code="mount-dropped",
    text="engines drop {mount} from the plugin, because its destination {destination} is below /dev/",
    seen="the plugin is enabled, but never sees the mount",
    fix="use a destination outside /dev; for a device, list it in Linux.Devices",
)
MOUNT_TWICE: Final = hint(
    code="mount-twice",
    text="two mounts have the destination {destination}",
    seen="the plugin is enabled, and sees only the last one",
    fix="remove one of them",
)
PROPAGATED_MOUNT_ROOT: Final = error(
    code="propagated-mount-root",
    text="PropagatedMount {path!r} is the whole root filesystem of the plugin",
    seen=RUNTIME_ERROR.format("error jailing process inside rootfs: pivot_root .: invalid argument"),
    fix="use a folder below /",
)
# The engine replaces this text at the beginning of a volume's path by the folder on the host.
PROPAGATED_MOUNT_SPELLING: Final = warning(
    code="propagated-mount-spelling",
    text="PropagatedMount {path!r} does not begin the paths of volumes, such as {absolute}/NAME",
    seen="the plugin is enabled, and containers with its volumes do not start: 'error mounting ...: stat "
    ".../rootfs{absolute}/NAME: no such file or directory'",
    fix="write {absolute!r}",
)
MOUNT_NOT_A_FOLDER: Final = error(
    code="mount-not-a-folder",
    text="{mount} needs the folder {path}, which is a {file_kind} in the root filesystem",
    seen=_MOUNTING.format("not a directory"),
    fix="use another destination, or a folder in rootfs",
)
MOUNT_NOT_A_FILE: Final = error(
    code="mount-not-a-file",
    text="{mount} needs a file at {path}, which is a folder in the root filesystem",
    seen=_MOUNTING.format("not a directory"),
    fix="use the path of a file as the destination, or remove the folder from rootfs",
)
WORK_DIR_NOT_A_FOLDER: Final = error(
    code="work-dir-not-a-folder",
    text="WorkDir {work_dir!r} needs the folder {path}, which is a {file_kind} in the root filesystem",
    seen=RUNTIME_ERROR.format("mkdir {path}: not a directory', or 'file exists"),
    fix="use a folder; the engine creates a missing one",
)
PROGRAM_HIDDEN: Final = error(
    code="program-hidden",
    text="{mount} hides {name}, which the plugin needs to start",
    seen=RUNTIME_ERROR.format('exec: "...": stat ...: no such file or directory')
    + ", or after 13 s: 'dial unix ...: connect: no such file or directory'",
    fix="put the program elsewhere in rootfs, or mount elsewhere",
)
PROGRAM_COVERED: Final = warning(
    code="program-from-host",
    text="{mount} hides the program {name} of the root filesystem",
    seen="unless the folder on the host holds the program, "
    + RUNTIME_ERROR.format("exec: ...: no such file or directory"),
    fix="put the program elsewhere in rootfs, or mount elsewhere",
)
PROGRAM_FROM_HOST: Final = hint(
    code="program-from-host",
    text="the program {name} comes from the host, by {mount}",
    seen="if the host does not have it, enabling fails",
    fix="put the program into rootfs",
)
MOUNT_REACH: Final = warning(
    code="mount-reach",
    text="the plugin gets more access to the host than the source of its mount shows: {reach}",
    seen="before an install the engine asks only for the source, so nobody learns about the rest",
    fix='use a bind mount of the needed path: "Type": "bind", "Options": ["rbind"], and the path as the source',
    own_words=frozenset({"reach"}),
)
HOST_PATHS: Final = hint(
    code="host-paths",
    text="the plugin needs these paths on the host: {paths}",
    seen="if one is missing, enabling fails: 'stat ...: no such file or directory'; engines create none of them",
    fix="{preparation}",
    own_words=frozenset({"preparation"}),
)
PLUGINS_FOLDER_HIDDEN: Final = hint(
    code="plugins-folder-hidden",
    text="the mount at {destination} is hidden by the engine's own mount at /run/docker/plugins",
    seen="the plugin is enabled, but never sees the mount",
    fix="remove the mount: the engine provides this folder",
)
