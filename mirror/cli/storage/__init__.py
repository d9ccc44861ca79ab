"""Commands about storage."""
