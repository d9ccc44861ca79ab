"""Commands that work on plugins."""
