"""The benchmark: plugin-mirror, docker-registry and nginx side by side, as ratios. Run it with `make bench`.

- `cases` lists the cases. `servers` starts the servers that are compared. `pulling` and `syncing` have the cases with
  an upstream, `packing` the case without a server, and `attacks` the case with attackers.
- `loads` generates load: with wrk, with `head` and `crowd` for requests that wrk cannot measure, and with `client` in
  `laps`.
- `processes` measures the CPU time and memory of the servers meanwhile.
- `sample`, `bars` and `report` are pure and turn measurements into medians, ratios and tables.

docs/BENCHMARK.md explains the cases and shows the latest run.
"""
