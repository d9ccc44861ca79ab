"""Records of changes: who changed what, for the audit and for other systems."""
