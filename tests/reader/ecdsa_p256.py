"""Signatures by ECDSA with P-256 and SHA-256 (FIPS 186-5, 6.4.2), of which only checking is needed here."""

import base64
import binascii

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# What stands before the two coordinates in the SPKI DER of such a key (RFC 5480).
SPKI = bytes.fromhex("3059301306072A8648CE3D020106082A8648CE3D03010703420004")

Point = tuple[int, int] | None


def spki_of_pem(pem: str) -> bytes | None:
    """The SPKI DER in a PEM block of a public key of this kind; None if it is something else."""
    lines = pem.strip().splitlines()
    if lines[:1] != ["-----BEGIN PUBLIC KEY-----"] or lines[-1] != "-----END PUBLIC KEY-----":
        return None
    try:
        der = base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error:
        return None
    return der if der.startswith(SPKI) and len(der) == 91 and is_on_curve(point_of(der)) else None


def verifies(spki: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether this key made this signature (DER) over a document with this SHA-256."""
    numbers = numbers_of_der(signature)
    if numbers is None or not all(1 <= number < N for number in numbers):
        return False
    r, s = numbers
    inverse = pow(s, -1, N)
    u, v = int.from_bytes(digest, "big") * inverse % N, r * inverse % N
    point = add(multiply(u, G), multiply(v, point_of(spki)))
    return point is not None and point[0] % N == r


def point_of(spki: bytes) -> tuple[int, int]:
    return int.from_bytes(spki[27:59], "big"), int.from_bytes(spki[59:], "big")


def is_on_curve(point: tuple[int, int]) -> bool:
    x, y = point
    return x < P and y < P and (y * y - x * x * x + 3 * x - B) % P == 0


def numbers_of_der(der: bytes) -> tuple[int, int] | None:
    """A SEQUENCE of two INTEGERs in their only form."""
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2 or der[1] > 127:
        return None
    numbers, at = [], 2
    while at < len(der) - 1 and der[at] == 0x02:
        number = der[at + 2 : at + 2 + der[at + 1]]
        at += 2 + len(number)
        if not number or number[0] > 127 or (number[0] == 0 and number[1:2] < b"\x80"):
            return None
        numbers.append(int.from_bytes(number, "big"))
    return (numbers[0], numbers[1]) if len(numbers) == 2 and at == len(der) else None


def add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(factor: int, point: Point) -> Point:
    product = None
    while factor:
        if factor & 1:
            product = add(product, point)
        point = add(point, point)
        factor >>= 1
    return product
