"""Certificates for TLS: a local CA, server and client certificates, their files and renewal."""
