"""Makes ``used-0007.tar.gz`` and ``used-0007.json``. It runs the commands of the commit that README.md names."""

import gzip
import hashlib
import io
import json
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("plugin-mirror"))
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
HELD_PRIVILEGE = {"Network": {"Type": "host"}}
PASSWORD = "the password of anna"


def digest_of(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(text):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("bin", "run", "run/docker", "run/docker/plugins"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        program = tarfile.TarInfo("bin/driver")
        program.size, program.mode = len(text), 0o755
        archive.addfile(program, io.BytesIO(text))
    return packed.getvalue()


def send(method, url, body=None, media_type="application/octet-stream", **headers):
    request = urllib.request.Request(url, body, {"Content-Type": media_type, "Accept": "*/*"} | headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, answer.read()


def push_blob(base, name, content, media_type):
    headers, _ = send("POST", f"{base}/v2/{name}/blobs/uploads/", b"")
    location = headers["Location"]
    send("PUT", f"{base}{location}{'&' if '?' in location else '?'}digest={digest_of(content)}", content)
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def push(base, name, tag, **config):
    tar = layer(f"driver of {name}:{tag}".encode())
    config = {
        "Description": f"{name}:{tag}",
        "Entrypoint": ["/bin/driver"],
        "Env": [{"Name": "MODE", "Settable": ["value"], "Value": "plain"}],
        "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "driver.sock"},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar)]},
    } | config
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": push_blob(base, name, json.dumps(config).encode(), "application/vnd.docker.plugin.v1+json"),
        "layers": [
            push_blob(base, name, gzip.compress(tar, mtime=0), "application/vnd.docker.image.rootfs.diff.tar.gzip")
        ],
    }
    content = json.dumps(body).encode()
    send("PUT", f"{base}/v2/{name}/manifests/{tag}", content, MANIFEST)
    return {"mediaType": MANIFEST, "digest": digest_of(content), "size": len(content)}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def served(config):
    base = f"http://{json.loads(config.read_text())['server']['listen']}"
    with subprocess.Popen([PROGRAM, "serve", "--config", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    send("GET", f"{base}/readyz")
                    break
                except OSError:
                    time.sleep(0.1)
            yield base
        finally:
            process.terminate()


def command(config, *arguments, text=""):
    done = subprocess.run(
        [PROGRAM, *arguments, "--config", str(config)], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{arguments}: {done.stdout}{done.stderr}")
    return done.stdout


def written(place, name, **sections):
    server = {"listen": f"127.0.0.1:{free_port()}", "anonymous": ["pull", "push"]}
    config = place / f"{name}.json"
    config.write_text(json.dumps({"server": server, "storage": {"path": str(place / name)}} | sections))
    return config


def pull(base, name, tag):
    """Read a plugin as an engine does. Return the digests of its manifest and blobs, or the status of the refusal."""
    try:
        _, content = send("GET", f"{base}/v2/{name}/manifests/{tag}")
    except urllib.error.HTTPError as error:
        return {"status": error.code}
    body = json.loads(content)
    blobs = [one["digest"] for one in (body.get("config"), *body.get("layers", [])) if one]
    for blob in blobs:
        send("GET", f"{base}/v2/{name}/blobs/{blob}")
    return {"digest": digest_of(content), "blobs": blobs}


def pull_all(base):
    return {
        f"{name}:{tag}": pull(base, name, tag)
        for name in json.loads(send("GET", f"{base}/v2/_catalog")[1])["repositories"]
        for tag in json.loads(send("GET", f"{base}/v2/{name}/tags/list")[1])["tags"]
    }


def make(place):
    far = written(place, "far")
    with served(far) as upstream:
        for tag in ("1.0", "1.1"):
            push(upstream, "vendor/nfs", tag)
        push(upstream, "vendor/sshfs", "latest")
        hub = {"url": upstream, "plain_http": True}
        near = written(
            place,
            "data",
            upstreams={"hub": hub},
            mirrors=[{"name": "nfs", "from": "hub/vendor/nfs", "to": "site/nfs"}],
            proxy=[{"from": "hub/**", "to": "hub/**"}],
            admission={"rules": [{"name": "host-network", "action": "hold", "privileges": ["network=host"]}]},
        )
        command(near, "sync")
        command(near, "user", "add", "anna", "--password-stdin", text=PASSWORD)
        secret = json.loads(command(near, "token", "create", "anna", "--description", "build server", "--json"))[
            "secret"
        ]
        with served(near) as base:
            members = [push(base, "acme/driver", tag) for tag in ("1.0", "2.0")]
            index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": members}).encode()
            send("PUT", f"{base}/v2/acme/driver/manifests/all", index, INDEX)
            for tag in ("approved", "rejected", "held"):
                push(base, "acme/network", tag, **HELD_PRIVILEGE)
            command(near, "admission", "approve", "acme/network:approved", "--by", "anna", "--note", "ticket 1")
            command(near, "admission", "reject", "acme/network:rejected", "--by", "ben", "--note", "wants too much")
            command(near, "derive", "acme/driver:1.0", "site/driver:1.0", "--env", "MODE=fast")
            pull(base, "hub/vendor/sshfs", "latest")
            found = pull_all(base)
    return {"tags": found, "password": PASSWORD, "token": secret}


def main():
    archive, facts = map(Path, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        facts.write_text(json.dumps(make(place), indent=1, sort_keys=True) + "\n")
        for spare in (place / "data").glob("reserve*"):
            spare.unlink()
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(place / "data", ".")


if __name__ == "__main__":
    main()
