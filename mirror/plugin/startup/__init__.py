"""Programs that a plugin starts: the entrypoint, the programs it wraps, and the commands of shell scripts."""
