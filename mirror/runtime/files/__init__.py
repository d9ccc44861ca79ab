"""Files that only this program reads, and files that may change while it runs."""
