"""Reading for runs of mirror rules: upstreams that are asked sparingly and may pause, and comparisons of plugins."""
