"""Records of the upkeep of storage."""
