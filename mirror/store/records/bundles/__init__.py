"""Records of bundles in the catalog."""
