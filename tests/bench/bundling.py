"""`bundle export` and `bundle import`, against `cp`, `sync` and `sha256sum` of the same bytes and against skopeo.

All are programs that end. Memory and CPU time in the table are those of the benchmark itself. The largest memory of the
programs is a figure. hauler is not compared: Debian has no package of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import client
from tests.bench.content import KIB, MIB, plugin
from tests.bench.packing import PEAK_MIB, placeholder, run_measured
from tests.bench.sample import Outcome, percentile
from tests.bench.servers import OURS, Server
from tests.bench.trial import Load, Trial
from tests.harness import skopeo
from tests.harness.image import OCI
from tests.harness.mirror import PROGRAM, Mirror, plugin_mirror

COPY = "cp, sync, sha256sum"
SKOPEO = "skopeo copy, oci-archive:"
#: Figures of a delta.
EMPTY_KIB, BEYOND_PERCENT = "delta without a change, KiB", "delta of one changed plugin beyond its blobs, %"

_IMAGE = "bench/image:1"
_LAYERS = 8
_PLUGINS = 200
_CHANGED_BYTES = 8 * MIB
_LAYER_BYTES = 64 * KIB
_TIMEOUT_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is measured.

    Attributes:
        text: The command for a shell.
        made: File or folder that the command makes. It is removed before and after each measurement.
    """

    text: str
    made: Path


def missing() -> str | None:
    """Return a sentence that names the missing package, or None if nothing is missing."""
    return skopeo.missing()


@contextmanager
def exports(*, size_bytes: int) -> Iterator[Trial]:
    """Yield a trial that writes an image of the local store, or of a folder, to one file."""
    with _prepared(size_bytes) as folder:
        image = folder / "image"
        bundle, copy, archive = folder / "F.tar", folder / "copy", folder / "archive.tar"
        commands = {
            OURS: Command(_export(folder, bundle), bundle),
            COPY: Command(
                f"cp -r {image} {copy} && sync -f {copy} && find {copy} -type f -exec sha256sum {{}} +", copy
            ),
            SKOPEO: Command(f"skopeo --insecure-policy copy dir:{image} oci-archive:{archive}:{_IMAGE}", archive),
        }
        yield _trial(commands, size_bytes)


@contextmanager
def imports(*, size_bytes: int) -> Iterator[Trial]:
    """Yield a trial that reads an image from one file into an empty store, or into a folder."""
    with _prepared(size_bytes) as folder:
        bundle, archive = folder / "F.tar", folder / "archive.tar"
        plugin_mirror(*shlex.split(_export(folder, bundle))[1:], timeout_seconds=_TIMEOUT_SECONDS)
        skopeo.copy(f"dir:{folder / 'image'}", f"oci-archive:{archive}:{_IMAGE}", timeout_seconds=_TIMEOUT_SECONDS)
        shutil.rmtree(folder / "image")
        shutil.rmtree(folder / "data")
        data, copy, out = folder / "imported", folder / "copy.tar", folder / "out"
        commands = {
            OURS: Command(f"{PROGRAM} bundle import {bundle} --key {folder}/key.pub --data {data}", data),
            COPY: Command(f"cp {bundle} {copy} && sync {copy} && sha256sum {copy}", copy),
            SKOPEO: Command(f"skopeo --insecure-policy copy oci-archive:{archive}:{_IMAGE} dir:{out}", out),
        }
        yield _trial(commands, size_bytes)


@contextmanager
def deltas() -> Iterator[Trial]:
    """Yield a trial that exports one changed plugin of many, against the receipt of a receiver of all others."""
    with tempfile.TemporaryDirectory(prefix="deltas-") as made:
        folder = Path(made)
        plugin_mirror("bundle", "keygen", str(folder / "key"))
        exported = ["bundle", "export", "--all", "--key", str(folder / "key"), "--data", str(folder / "data"), "-o"]
        with Mirror(data=folder / "data") as mirror:
            _push_plugins(mirror.port, folder)
            plugin_mirror(*exported, str(folder / "full.tar"))
            to_receiver = ["--data", str(folder / "received")]
            plugin_mirror("bundle", "import", str(folder / "full.tar"), "--key", str(folder / "key.pub"), *to_receiver)
            plugin_mirror("bundle", "receipt", "-o", str(folder / "receipt"), *to_receiver)
            since = ["--since", str(folder / "receipt")]
            plugin_mirror(*exported, str(folder / "empty.tar"), *since)
            changed = plugin(folder / "changed", payload_size_bytes=_CHANGED_BYTES)
            with client.connected(mirror.port) as connection:
                client.push_plugin(connection, changed, "bench/plugin0", "1")
        blobs_bytes = sum(len(blob) for blob in (changed.config, changed.layer, changed.manifest))
        delta = folder / "delta.tar"
        command = Command(shlex.join([PROGRAM, *exported, str(delta), *since]), delta)

        def load(_server: Server, seconds: int) -> Outcome:
            sizes: list[int] = []
            outcome = _measured(command, seconds, lambda: sizes.append(delta.stat().st_size))
            return Outcome(
                amount=len(sizes),
                seconds=outcome.seconds,
                p50_seconds=outcome.p50_seconds,
                p99_seconds=outcome.p99_seconds,
                figures={
                    EMPTY_KIB: (folder / "empty.tar").stat().st_size / KIB,
                    BEYOND_PERCENT: 100 * (max(sizes) / blobs_bytes - 1),
                    **outcome.figures,
                },
            )

        yield Trial([placeholder(OURS, 1)], load)


def _trial(commands: Mapping[str, Command], size_bytes: int) -> Trial:
    loads = {name: _load(command, size_bytes) for name, command in commands.items()}
    return Trial([placeholder(name, port) for port, name in enumerate(commands, 1)], loads[OURS], loads)


def _load(command: Command, size_bytes: int) -> Load:
    def load(_server: Server, seconds: int) -> Outcome:
        return _measured(command, seconds, amount_each=size_bytes / MIB)

    return load


def _measured(command: Command, seconds: int, look: Callable[[], object] = list, amount_each: float = 1) -> Outcome:
    """Run a command repeatedly for at least `seconds`. `look` sees the result of each run before it is removed."""
    taken_seconds: list[float] = []
    peaks_mib: list[float] = []
    while sum(taken_seconds) < seconds or not taken_seconds:
        _remove(command.made)
        os.sync()  # no run pays for the writes of another
        taken, peak_mib = run_measured(command.text)
        taken_seconds.append(taken)
        peaks_mib.append(peak_mib)
        look()
        _remove(command.made)
    return Outcome(
        amount=amount_each * len(taken_seconds),
        seconds=sum(taken_seconds),
        p50_seconds=percentile(taken_seconds, 50),
        p99_seconds=percentile(taken_seconds, 99),
        figures={PEAK_MIB: max(peaks_mib)},
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _export(folder: Path, bundle: Path) -> str:
    arguments = ["bundle", "export", _IMAGE, "-o", str(bundle), "--key", str(folder / "key")]
    return shlex.join([PROGRAM, *arguments, "--data", str(folder / "data"), "--no-verify-written"])


@contextmanager
def _prepared(size_bytes: int) -> Iterator[Path]:
    """Yield a folder with a key, an image in skopeo's layout `dir:` and a store with the image."""
    with tempfile.TemporaryDirectory(prefix="bundling-") as made:
        folder = Path(made)
        _write_image(folder / "image", size_bytes)
        plugin_mirror("bundle", "keygen", str(folder / "key"))
        with Mirror(data=folder / "data") as mirror:
            skopeo.copy(f"dir:{folder / 'image'}", f"docker://{mirror.host}/{_IMAGE}", timeout_seconds=_TIMEOUT_SECONDS)
        yield folder


def _write_image(folder: Path, size_bytes: int) -> None:
    """Write an image whose layers do not compress. They are gzip streams, or skopeo would compress them."""
    folder.mkdir()
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    layers = [_write_layer(folder, number, size_bytes // _LAYERS) for number in range(_LAYERS)]
    diff_ids = [diff_id for _, diff_id in layers]
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    ).encode()
    described = _described(OCI.config, config)
    (folder / described["digest"].removeprefix("sha256:")).write_bytes(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI.manifest,
        "config": described,
        "layers": [descriptor for descriptor, _ in layers],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _write_layer(folder: Path, number: int, size_bytes: int) -> tuple[dict[str, object], str]:
    """Write a layer, a gzip stream of stored blocks. Return its descriptor and its diff id."""
    block = random.Random(number).randbytes(MIB)
    packed, content = hashlib.sha256(), hashlib.sha256()
    packer, path = zlib.compressobj(0, wbits=zlib.MAX_WBITS | 16), folder / f"{number}"
    with path.open("wb") as file:
        for _ in range(size_bytes // MIB):
            content.update(block)
            packed.update(piece := packer.compress(block))
            file.write(piece)
        packed.update(piece := packer.flush())
        file.write(piece)
    descriptor = {"mediaType": OCI.layer, "digest": f"sha256:{packed.hexdigest()}", "size": path.stat().st_size}
    path.rename(folder / packed.hexdigest())
    return descriptor, f"sha256:{content.hexdigest()}"


def _described(media_type: str, content: bytes) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
    }


def _push_plugins(port: int, folder: Path) -> None:
    with client.connected(port) as connection:
        for number in range(_PLUGINS):
            # Another size for each plugin, so that no two share a layer.
            packed = plugin(folder / f"plugin{number}", payload_size_bytes=_LAYER_BYTES + number)
            client.push_plugin(connection, packed, f"bench/plugin{number}", "1")
