"""Certificates: the local CA, the certificates of the server, and those of clients."""
