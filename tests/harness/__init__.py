"""Real engines, registries and clients as context managers, for the end-to-end tests and the demo.

One module per part: `engine` (a private Docker Engine), `docker_registry` (an upstream), `nginx` (static files, or a
slow front), `skopeo`, `oras` and `cosign` (other clients), `wrk` (load), `plugins` (folders for `docker plugin
create`), `packing` and `pushing` (a plugin without an engine), `image` (an image without one), `process` (any program
as a service), `trixie` (programs newer than the machine's). Only `requirement` knows pytest.
"""
