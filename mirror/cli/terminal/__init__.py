"""The standard streams of a command, and tables on them."""
