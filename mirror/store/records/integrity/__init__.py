"""Records of the scrub and of damage, in the catalog."""
