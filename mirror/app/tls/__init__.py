"""TLS of a serving process, as configured."""
