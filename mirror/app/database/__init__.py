"""The database of the catalog."""
