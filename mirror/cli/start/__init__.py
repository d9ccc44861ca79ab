"""What the program needs before a command is chosen: the table of the commands, and the options that all have."""
