"""Real engines, registries and clients as context managers, for the end-to-end tests and the demo.

One module per part: `engine` (a private Docker Engine), `docker_registry` (an upstream), `skopeo` (another client),
`plugins` (folders for `docker plugin create`), `packing` and `pushing` (a plugin without an engine), `process` (any
program as a service). Only `requirement` knows pytest.
"""
