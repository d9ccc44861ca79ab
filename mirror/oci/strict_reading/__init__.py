"""One reading of JSON: what two readers would read differently is refused."""
