"""Docker managed plugins: configuration, files, findings, policy and builds. Pure values, no I/O."""
