"""The benchmark: our server, docker-registry and nginx side by side, as ratios. Run it by `make bench`.

`cases` says what is measured, `servers` what is measured against what; `pulling` and `syncing` have those that take
from an upstream. `loads` loads them: by wrk, by `head` and `crowd`, which do what wrk cannot, and by `client` in
`laps`. `processes` looks at what the servers cost meanwhile. `sample`, `bars` and `report` are pure: numbers become
medians, ratios, a table. docs/BENCHMARK.md tells the rest.
"""
