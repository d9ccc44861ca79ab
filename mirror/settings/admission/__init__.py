"""The section ``admission`` of the configuration."""
