"""Infrastructure shared by all services: clocks, logs, metrics, processes, files and concurrency."""
