"""Changes that wait for their readers, in the catalog."""
