"""Start of the program, until a command is chosen: the table of the commands, and the options that all have."""
