"""Commands about the audit and events."""
