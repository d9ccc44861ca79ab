"""Check of Ed25519 signatures (RFC 8032, section 5.1.7). Pure.

Only public values are computed with, so the time of the computation reveals nothing.
"""

import base64
import hashlib
from typing import Optional, Tuple

from mirror.bundle.installer.installer_fault import InstallerFault

_Point = Tuple[int, int, int, int]

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_NEUTRAL = (0, 1, 1, 0)
_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
#: Beginning of a SubjectPublicKeyInfo with an Ed25519 key, in DER (RFC 8410).
_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")


def public_key_in(pem: str, name: str) -> bytes:
    """Return the 32 bytes of the public key in a file ``F.pub``.

    Args:
        pem: text of the file.
        name: name of the file in messages.

    Raises:
        InstallerFault: the text is not an Ed25519 public key as PEM.
    """
    _, begun, rest = pem.partition(_BEGIN)
    body, ended, _ = rest.partition(_END)
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except ValueError:
        der = b""
    if not begun or not ended or len(der) != 44 or not der.startswith(_DER_PREFIX):
        raise InstallerFault("{} is not a public key as 'plugin-mirror bundle keygen' writes it".format(name), 2)
    return der[len(_DER_PREFIX) :]


def is_signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Return True if a signature of a message was made with the private key of a public key."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    point = _decoded(public_key)
    factor = int.from_bytes(signature[32:], "little")
    if point is None or factor >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    minus = (_P - point[0], point[1], point[2], _P - point[3])
    # R = S·B - k·A, compared as bytes, so that each signature has one accepted encoding.
    return _encoded(_sum(_product(factor, _BASE), _product(challenge, minus))) == signature[:32]


def _sum(left: _Point, right: _Point) -> _Point:
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * left[3] * right[3] * _D % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _product(factor: int, point: _Point) -> _Point:
    found = _NEUTRAL
    while factor:
        if factor & 1:
            found = _sum(found, point)
        point = _sum(point, point)
        factor >>= 1
    return found


def _encoded(point: _Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(content: bytes) -> Optional[_Point]:
    """Return the point that 32 bytes encode; None if there is none."""
    y = int.from_bytes(content, "little")
    is_odd = y >> 255
    y &= 2**255 - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and is_odd):
        return None
    if x & 1 != is_odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _base() -> _Point:
    point = _decoded((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))
    assert point is not None  # noqa: S101 - for the type checker: this constant is a point
    return point


_BASE = _base()
