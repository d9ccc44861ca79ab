"""Lock that keeps two executions of plans on one engine apart. Each would lead back what the other has done."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from mirror.oci import Digest
from mirror.oci.errors import Busy


@contextmanager
def host_lock(engine_id: str) -> Iterator[None]:
    """Hold the lock of an engine during the block.

    The lock is a name in the abstract namespace of Unix sockets. All users of a machine share the namespace, and the
    kernel frees the name when the process ends. Programs on other machines and in containers do not see the lock.

    Args:
        engine_id: id that the engine reports. An engine without one has no lock.

    Raises:
        Busy: another process holds the lock.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        if engine_id:
            try:
                # A name has at most 107 bytes.
                holder.bind(f"\0plugin-mirror-host-{Digest.of(engine_id.encode()).hex}")
            except OSError as error:
                # Systems other than Linux have no such names, and the block runs without a lock.
                if error.errno == errno.EADDRINUSE:
                    raise Busy(
                        "another 'host apply' is changing the plugins of this engine; nothing was changed; fix: run "
                        "the command again when the other one has ended"
                    ) from error
        yield
