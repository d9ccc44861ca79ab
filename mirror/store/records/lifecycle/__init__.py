"""Records of the upkeep of storage, in the catalog."""
