"""Programs about the packages that a release depends on.

- `known_vulnerabilities` asks pip-audit about the locked packages (`make check`).
- `bill_of_materials` builds the wheel and its software bill of materials (`make sbom`).
"""
