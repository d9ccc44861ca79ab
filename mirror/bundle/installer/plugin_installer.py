"""The command line of the installer: it verifies a bundle, asks, and creates a plugin in the engine of this host."""

import argparse
import errno
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from typing import Any, Dict, List, Optional, Tuple

from mirror.bundle.installer import docker_program
from mirror.bundle.installer.bundle_bytes import BundleBytes
from mirror.bundle.installer.bundle_documents import BundleDocuments, json_in
from mirror.bundle.installer.config_privileges import privilege_lines
from mirror.bundle.installer.ed25519_check import public_key_in
from mirror.bundle.installer.installer_fault import InstallerFault
from mirror.bundle.installer.layered_files import LayeredFiles
from mirror.bundle.installer.plugin_folder_writing import remove_plugin, write_plugin, write_unpacked

_MOST_MANIFEST_BYTES = _MOST_CONFIG_BYTES = 4 * 1024 * 1024
_MOST_LAYERS = 128
_PLUGIN_CONFIG = "application/vnd.docker.plugin.v1+json"
_INDEXES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}


def main() -> None:
    """Run the command line of this process, and exit with its exit code."""
    if os.name != "posix":
        sys.exit("error: the installer runs on Linux")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that temporary files are removed
    sys.exit(run(sys.argv[1:]))


def run(arguments: List[str]) -> int:
    """Run the installer and return its exit code."""
    try:
        _run(_options(arguments))
    except InstallerFault as fault:
        _say("error: {}".format(fault))
        return fault.exit_code
    except OSError as error:
        hint = "; fix: name a folder with more room in TMPDIR" if error.errno == errno.ENOSPC else ""
        _say("error: {}{}".format(error, hint))
        return 5
    except KeyboardInterrupt:
        _say("interrupted")
        return 4
    return 0


def _run(options: Any) -> None:
    keys = {path: _public_key(path) for path in options.key}
    bundle = BundleDocuments(BundleBytes.open(options.bundle, options.parts), keys, options.threshold if keys else 0)
    signed = "signature valid" if keys else "signature not checked"
    _say("bundle {} of stream {}, created {}: {}".format(bundle.serial, bundle.stream, bundle.created, signed))
    if options.list or options.name is None:
        for name in sorted(bundle.names):
            if "@" not in name:  # referrers, such as signatures
                print(_printable(name))
    elif keys or options.unsigned:
        _install(bundle, options)
    else:
        raise InstallerFault("no key is trusted; fix: name the key of the sender with --key F.pub, or --unsigned", 2)


def _options(arguments: List[str]) -> Any:
    parser = argparse.ArgumentParser(
        prog=os.path.basename(sys.argv[0]),
        description="Install a Docker plugin from a bundle, on a host without a registry and without a network. "
        "Needs Python 3.6 or later and docker.",
        epilog="Example: python3 install-plugin site.tar acme/driver:1.0 --key site.pub --enable",
    )
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="the bundle: F.tar, F.tar.parts.json, or one of its parts")
    add("name", metavar="NAME:TAG", nargs="?", help="the plugin to install; without it, the names are listed")
    add("--key", metavar="F.pub", action="append", default=[], help="trust bundles signed with this key. Repeatable")
    add("--threshold", metavar="N", type=int, default=1, help="number of these keys that must have signed (default: 1)")
    add("--unsigned", action="store_true", help="accept a bundle whose signature is not checked")
    add("--parts", metavar="DIR", action="append", default=[], help="look for parts in this folder too. Repeatable")
    add("--list", action="store_true", help="list the names in the bundle, and install nothing")
    add("--alias", metavar="NAME[:TAG]", help="name of the plugin on this host (default: its name in the bundle)")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="setting, as for 'docker plugin set'. Repeatable",
    )
    add("--grant-all-permissions", action="store_true", help="grant the privileges without a question")
    add("--enable", action="store_true", help="enable the plugin")
    options, rest = parser.parse_known_args(arguments)
    if options.name is None and len(rest) == 1 and not rest[0].startswith("-"):
        options.name, rest = rest[0], []  # Python up to 3.11 does not find a name behind options
    if rest:
        parser.error("unrecognized arguments: {}".format(" ".join(rest)))
    if options.threshold < 1:
        parser.error("--threshold must be at least 1")
    wrong = [setting for setting in options.set if "=" not in setting.lstrip("=")]
    if wrong:
        parser.error("{} is not KEY=VALUE".format(wrong[0]))
    return options


def _public_key(path: str) -> bytes:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return public_key_in(file.read(64 * 1024), path)
    except OSError as error:
        raise InstallerFault("{} cannot be read: {}".format(path, error.strerror), 2) from error


def _install(bundle: BundleDocuments, options: Any) -> None:
    if options.name not in bundle.names:
        held = ", ".join(sorted(bundle.names)[:20]) or "nothing"
        raise InstallerFault("the bundle has no {}; it has {}".format(options.name, held))
    if "@" in options.name and not options.alias:
        raise InstallerFault("an engine gives no plugin the name {}; fix: --alias NAME".format(options.name), 2)
    name = options.alias or options.name
    platform = docker_program.require_engine()
    if docker_program.has_plugin(name if ":" in name.rpartition("/")[2] else name + ":latest"):
        raise InstallerFault(
            "the engine has a plugin {} already; fix: docker plugin rm {}, or --alias OTHER".format(name, name)
        )
    config, layers = _plugin_in(bundle, bundle.names[options.name], platform)
    _ask(privilege_lines(config), options)
    with ExitStack() as stack:
        files = LayeredFiles()
        for digest in layers:
            tar = stack.enter_context(tempfile.TemporaryFile())
            _say("reading {}".format(digest))
            write_unpacked(bundle.chunks(digest), bundle.blob_size_bytes(digest), tar)
            files.add_layer(tar)
        folder = tempfile.mkdtemp(prefix="plugin-")  # only this user may enter
        stack.callback(remove_plugin, folder)
        for note in write_plugin(folder, config, files):
            _say("note: {}".format(note))
        docker_program.create_plugin(name, folder)
    print("created {}".format(name))
    try:
        if options.set:
            docker_program.set_plugin(name, options.set)
        if options.enable:
            docker_program.enable_plugin(name)
            print("enabled {}".format(name))
    except InstallerFault as fault:
        raise InstallerFault("{}; {} was created and is disabled".format(fault, name), fault.exit_code) from fault
    if not options.enable:
        _say("next: docker plugin enable {}".format(name))


def _plugin_in(bundle: BundleDocuments, descriptor: Dict[str, Any], platform: str) -> Tuple[bytes, List[str]]:
    """Return the config of a plugin and the digests of its layers."""
    manifest = _manifest(bundle, descriptor)
    if _media_type(descriptor, manifest) in _INDEXES:
        member = _member_for(manifest, platform)
        if member is None:
            raise InstallerFault("the plugin has no build for the platform of the engine, {}".format(platform))
        manifest = _manifest(bundle, member)
    config = manifest.get("config")
    layers = manifest.get("layers")
    if not isinstance(config, dict) or config.get("mediaType") != _PLUGIN_CONFIG or not isinstance(layers, list):
        raise InstallerFault("the content is not a Docker plugin")
    if not 0 < len(layers) <= _MOST_LAYERS:
        raise InstallerFault(
            "the plugin has {} layers, and at least 1 and at most {} are read".format(len(layers), _MOST_LAYERS)
        )
    return bundle.blob(_digest(config), _MOST_CONFIG_BYTES), [_digest(layer) for layer in layers]


def _manifest(bundle: BundleDocuments, descriptor: Dict[str, Any]) -> Dict[str, Any]:
    value = json_in(bundle.blob(_digest(descriptor), _MOST_MANIFEST_BYTES), "the manifest")
    if not isinstance(value, dict):
        raise InstallerFault("the manifest is not an object")
    return value


def _media_type(descriptor: Dict[str, Any], manifest: Dict[str, Any]) -> str:
    return str(manifest.get("mediaType") or descriptor.get("mediaType"))


def _member_for(index: Dict[str, Any], platform: str) -> Optional[Dict[str, Any]]:
    """Return the descriptor of the member of an index for a platform."""
    listed = index.get("manifests")
    for member in listed if isinstance(listed, list) else []:
        found = member.get("platform") if isinstance(member, dict) else None
        if isinstance(found, dict) and "{}/{}".format(found.get("os"), found.get("architecture")) == platform:
            return dict(member)
    return None


def _digest(descriptor: Any) -> str:
    return str(descriptor.get("digest")) if isinstance(descriptor, dict) else ""


def _ask(privileges: List[str], options: Any) -> None:
    """Show the privileges, and raise InstallerFault unless the user grants them."""
    if not privileges:
        _say("{} requests no privileges".format(options.name))
        return
    _say("{} requests these privileges:".format(options.name))
    for line in privileges:
        _say(" - {}".format(line))
    if options.grant_all_permissions:
        return
    if not sys.stdin.isatty():
        raise InstallerFault("nobody can be asked; fix: --grant-all-permissions")
    _say("Do you grant the above permissions? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InstallerFault("the privileges were not granted; nothing was installed")


def _say(text: str, end: str = "\n") -> None:
    print(_printable(text), end=end, file=sys.stderr, flush=True)


def _printable(text: str) -> str:
    """Return text from a bundle without what controls a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
