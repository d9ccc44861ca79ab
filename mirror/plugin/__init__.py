"""Docker managed plugins: configuration, root filesystem, findings, policy and builds. Pure values without I/O."""
