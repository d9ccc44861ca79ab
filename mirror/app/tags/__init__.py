"""Work on tags, in the background and for commands."""
