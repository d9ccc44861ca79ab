"""Tasks, threads and scheduling."""
