"""Input of ``pack --rootfs``: an image in any form, the tar of a container, or a folder of files. All calls block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeAlias

from mirror.authoring.files.layer_sources import LayerSource
from mirror.authoring.files.saved_files import SavedFiles, SavedFolder, SavedTar, open_saved
from mirror.authoring.files.saved_image import SavedImage, images_in, is_saved_image
from mirror.oci.errors import ConfigurationFault
from mirror.plugin.rootfs.platform import Platform

#: Folders of which a root filesystem has at least one, and a saved image none.
_ROOT_FOLDERS: Final = frozenset({"bin", "etc", "lib", "opt", "sbin", "usr", "var"})
#: Folder of one platform, as 'docker buildx build --output type=local' and 'type=tar' write for several platforms.
_PLATFORM_FOLDER: Final = re.compile(r"(?:linux|windows|freebsd|darwin)_[a-z0-9]+(?:_v[0-9]+)?")
_MOST_TOLD: Final = 20

#: A root filesystem: the layers that form it, the lowest first, or a folder with its files.
RootfsInput: TypeAlias = list[LayerSource] | Path


def open_rootfs(place: Path, platforms: Sequence[Platform], stack: ExitStack) -> list[RootfsInput]:
    """Return the root filesystem for each platform.

    Args:
        place: the file or folder; ``-`` is the standard input.
        platforms: the platforms; empty for the only root filesystem.
        stack: closes everything that is opened. The layers can be read until then.

    Raises:
        ConfigurationFault: ``place`` cannot be read or used, or does not hold exactly one root filesystem for each
            platform.
        ManifestInvalid: an image is invalid.
        StorageFault: compressed input cannot be unpacked to the disk.
    """
    files = open_saved(place, stack)
    wanted: Sequence[Platform | None] = platforms or [None]
    top = files.top_names()
    if is_saved_image(files) and not top & _ROOT_FOLDERS:
        images = images_in(files)
        if not images:
            raise ConfigurationFault(f"{files.place} holds 0 images; fix: save one with docker save")
        return [_choose(files, images, platform).layers() for platform in wanted]
    if top and all(map(_PLATFORM_FOLDER.fullmatch, top)):
        return [_platform_folder(files, top, platform) for platform in wanted]
    _require_root(files, top)
    if len(platforms) > 1:
        raise ConfigurationFault(
            f"{files.place} holds the files of one platform only; fix: give the output of 'docker buildx build "
            "--platform … --output type=oci,dest=FILE'"
        )
    return [[LayerSource(files.whole)] if isinstance(files, SavedTar) else files.place]


def _choose(files: SavedFiles, images: Sequence[SavedImage], platform: Platform | None) -> SavedImage:
    """Return the only image, or the only one for a platform."""
    found = [image for image in images if platform is None or image.platform is None or platform.covers(image.platform)]
    if len(found) == 1:
        return found[0]
    told = [image.platform for image in images if image.platform is not None]
    if not found:
        raise ConfigurationFault(
            f"{files.place} holds no image for {platform}, only for {_listed(told)}; fix: choose one of these"
        )
    if len({image.platform for image in found}) == len(found) == len(told):
        raise ConfigurationFault(
            f"{files.place} holds images for {len(told)} platforms: {_listed(told)}; fix: choose with --platform, "
            "which may be repeated"
        )
    names = _listed(image.names for image in found)
    raise ConfigurationFault(f"{files.place} holds {len(found)} images: {names}; fix: save one image by itself")


def _platform_folder(files: SavedFiles, top: Iterable[str], platform: Platform | None) -> RootfsInput:
    """Return the folder of a platform, from the output of a build for several platforms."""
    folders = {Platform.parse(name.replace("_", "/")): name for name in sorted(top)}
    found = [folder for folder in folders if platform is None or platform.covers(folder)]
    if isinstance(files, SavedTar):
        raise ConfigurationFault(
            f"{files.place} holds a folder for each of {_listed(folders)}; fix: build with --output type=oci,dest=FILE"
        )
    if len(found) != 1:
        told = f"no folder for {platform}, only for" if not found else f"folders for {len(found)} platforms:"
        raise ConfigurationFault(f"{files.place} holds {told} {_listed(folders)}; fix: choose with --platform")
    folder = files.place / folders[found[0]]
    if folder.is_symlink():
        # No build writes one. The files would be those of another folder of this machine.
        raise ConfigurationFault(f"{folder} is a symbolic link; fix: give its target to --rootfs")
    return folder


def _require_root(files: SavedFiles, top: frozenset[str]) -> None:
    """Refuse files that are surely not those of a root filesystem."""
    if not top:
        raise ConfigurationFault(f"{files.place} holds no files; fix: name the root filesystem of the plugin")
    if top & _ROOT_FOLDERS:
        return
    unpacked = "" if isinstance(files, SavedFolder) else "unpack it, and "
    if "rootfs" in top:
        raise ConfigurationFault(
            f"{files.place} is the folder of a plugin, with its files below rootfs/; fix: {unpacked}give rootfs/ itself"
        )
    if "Dockerfile" in top:
        raise ConfigurationFault(
            f"{files.place} is the context of a build, with a Dockerfile; fix: build it with 'docker buildx build "
            "--output type=oci,dest=FILE'"
        )


def _listed(things: Iterable[object]) -> str:
    """Return the beginning of a list as text."""
    texts = [str(thing) for thing in things]
    return ", ".join(texts[:_MOST_TOLD]) + (f" and {len(texts) - _MOST_TOLD} more" if len(texts) > _MOST_TOLD else "")
