"""SHA-256 with its state in view (FIPS 180-4, 6.2), for the frames that a chained blob goes on behind (FORMAT.md 4.2).

hashlib keeps the state to itself. This is slow, and only needed for blobs that lie in several frames."""

from math import isqrt

BLOCK = 64
MASK = 0xFFFFFFFF


def fraction_of_root(n: int, cube: bool) -> int:
    """The first 32 bits behind the point of a square or cube root."""
    if not cube:
        return isqrt(n << 64) & MASK
    root = round((n << 96) ** (1 / 3))
    while root**3 > n << 96:
        root -= 1
    while (root + 1) ** 3 <= n << 96:
        root += 1
    return root & MASK


PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
START = b"".join(fraction_of_root(prime, False).to_bytes(4, "big") for prime in PRIMES[:8])
CONSTANTS = [fraction_of_root(prime, True) for prime in PRIMES]


def after(state: bytes, data: bytes) -> bytes:
    """The state behind so many whole blocks."""
    words = [int.from_bytes(state[at : at + 4], "big") for at in range(0, 32, 4)]
    for at in range(0, len(data), BLOCK):
        words = compress(words, data[at : at + BLOCK])
    return b"".join(word.to_bytes(4, "big") for word in words)


def compress(words: list[int], block: bytes) -> list[int]:
    w = [int.from_bytes(block[at : at + 4], "big") for at in range(0, BLOCK, 4)]
    for t in range(16, 64):
        x, y = w[t - 15] * 0x100000001, w[t - 2] * 0x100000001
        s0, s1 = x >> 7 ^ x >> 18 ^ w[t - 15] >> 3, y >> 17 ^ y >> 19 ^ w[t - 2] >> 10
        w.append((s1 & MASK) + w[t - 7] + (s0 & MASK) + w[t - 16] & MASK)
    a, b, c, d, e, f, g, h = words
    for constant, word in zip(CONSTANTS, w):
        # Twice the word, one behind the other: shifted, it is turned.
        x, y = e * 0x100000001, a * 0x100000001
        t1 = h + ((x >> 6 ^ x >> 11 ^ x >> 25) & MASK) + (e & f ^ ~e & g) + constant + word
        t2 = ((y >> 2 ^ y >> 13 ^ y >> 22) & MASK) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = t1 + t2 & MASK, a, b, c, d + t1 & MASK, e, f, g
    return [old + new & MASK for old, new in zip(words, (a, b, c, d, e, f, g, h))]
