"""Records kept beside content, in the SQL catalog."""
