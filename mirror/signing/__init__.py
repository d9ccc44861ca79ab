"""Signatures of manifests in the formats of cosign: keys, documents and their verification. No I/O."""
