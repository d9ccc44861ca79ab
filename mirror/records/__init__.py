"""Records kept beside content: value types, and the ports through which they are stored."""
