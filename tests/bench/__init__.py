"""The benchmark: our server, docker-registry and nginx side by side, as ratios. Run it by `make bench`.

`cases` says what is measured, `servers` what is measured against what, `rounds` how they take turns. `head`, `pushing`
and `pulling` make the load that wrk cannot make; `processes` looks at what the servers cost meanwhile. `sample`,
`bars` and `report` are pure: numbers become medians, ratios, a table. docs/BENCHMARK.md tells the rest.
"""
