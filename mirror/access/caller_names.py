"""Names in access rules that are not the name of one user."""

from __future__ import annotations

from typing import Final

#: Wildcard that names every user in an access rule, and every client with a certificate.
EVERY_USER: Final = "*"
#: Begin of each name of a client with a certificate. A user name has no colon, so no certificate can have the name of
#: a user.
CLIENT_PREFIX: Final = "cert:"
