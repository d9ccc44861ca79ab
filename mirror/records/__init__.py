"""Records kept beside content: values and the protocols of who keeps them."""
