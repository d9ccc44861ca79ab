"""Records of quotas in the catalog."""
