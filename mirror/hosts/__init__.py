"""Docker hosts: the API of their engines, and the plugins that they have or can run."""
