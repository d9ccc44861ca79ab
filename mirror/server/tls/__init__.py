"""TLS of the server: certificates, handshakes, and the transport that encrypts."""
