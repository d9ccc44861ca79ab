"""What a Docker managed plugin is: its configuration, privileges and settings. Pure values, no I/O."""
