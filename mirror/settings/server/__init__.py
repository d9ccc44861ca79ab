"""The section ``server``."""
