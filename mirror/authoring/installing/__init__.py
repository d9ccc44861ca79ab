"""Commands, service specifications and scripts that install a plugin on Docker hosts. Pure."""
