"""Files and folders on this machine as sources and destinations of plugins."""
