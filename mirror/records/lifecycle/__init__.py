"""Records of the upkeep of storage, and their protocols."""
