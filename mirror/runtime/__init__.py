"""What any service needs and no registry is needed for: time, logs."""
