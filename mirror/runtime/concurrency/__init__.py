"""Tasks, threads and turns: who does what at the same time."""
