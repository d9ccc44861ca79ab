"""Records beside content, in the SQL catalog."""
