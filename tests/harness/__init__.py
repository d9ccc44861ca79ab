"""Context managers that run real engines, registries and clients, for the end-to-end tests and the demo.

Each module covers one part:

- `engine`: a private Docker Engine. `compose`: Docker Compose with this engine.
- `docker_registry`: docker-registry as an upstream. `nginx`: a static file server, a proxy, or a given file.
- `skopeo`, `oras`, `cosign`: other registry clients. `wrk`: a load generator.
- `plugins`: folders for `docker plugin create`. `packing`, `pushing`: packing and pushing a plugin without an engine.
- `image`: a container image built without an engine.
- `process`: any program as a service. `systemd_host`: a host with systemd as its first process.
- `throwaway_root`: the machine's root file system under a layer for changes. `debian_base`: small ones of Debian.
- `release_image`: the container image of `make image`, on such a root file system.
- `trixie`: programs from the next Debian release.

Only `requirement` imports pytest.
"""
