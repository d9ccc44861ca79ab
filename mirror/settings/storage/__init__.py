"""The section ``storage`` of the configuration."""
