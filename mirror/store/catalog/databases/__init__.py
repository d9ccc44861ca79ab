"""The databases that can have the tables of the catalog."""
