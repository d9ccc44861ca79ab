"""Rules that every Registry must follow, tested on each implementation."""
