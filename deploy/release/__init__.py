"""Programs that make and check a release.

- `known_vulnerabilities` asks pip-audit about the locked packages (`make check`).
- `bill_of_materials` builds the wheel and its software bill of materials (`make sbom`).
- `debian_package` builds the Debian packages (`make deb`), from the files in `debian`.
- `container_image` builds the container image (`make image`), from the Dockerfile.
- `html_pages` makes the site of the documentation (`make docs`).
- `offline_kit` puts all of them into one archive (`make offline-kit`).

`checkout` has the files that a release is made of, `wheels` the wheels of the locked packages.
"""
