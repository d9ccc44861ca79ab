"""What people do to plugins: look at them."""
