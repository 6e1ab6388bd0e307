"""Members of the tar stream (FORMAT.md 1.3): each has one form, so a header is checked by making it."""

import re
from collections.abc import Iterator

from refused import Refused, expect

BLOCK = 512
NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", re.ASCII)


def padding(size: int) -> int:
    return -size % BLOCK


def header(name: str, size: int) -> bytes:
    folder, file = "", name
    if len(name) > 100:
        folder, _, file = name.rpartition("/")
    number = b"%011o\0" % size if size < 1 << 33 else b"\x80\0\0\0" + size.to_bytes(8, "big")
    parts = [
        file.encode().ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2 + number + b"00000000000\0",
        b" " * 8,
        b"0" + bytes(100) + b"ustar\x0000" + bytes(80),
        folder.encode().ljust(155, b"\0") + bytes(12),
    ]
    parts[2] = b"%07o\0" % sum(b"".join(parts))
    return b"".join(parts)


def read_header(block: bytes) -> tuple[str, int]:
    """The name and size of a header that is one of the format's."""
    file, folder = (field.split(b"\0", 1)[0] for field in (block[:100], block[345:500]))
    try:
        name = (folder + b"/" + file if folder else file).decode("ascii")
        digits = block[124:136]
        size = int.from_bytes(digits[4:], "big") if digits[0] == 0x80 else int(digits[:11], 8)
    except ValueError:
        raise Refused("a member has no name or no size") from None
    expect(NAME.fullmatch(name) and not {".", ".."} & set(name.split("/")), f"a member is named {name!r}")
    expect(header(name, size) == block, f"the header of {name!r} is not in the form of the format")
    return name, size


def members(stream: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the members of a stream that has no end of its own."""
    at = 0
    while at < len(stream):
        expect(at + BLOCK <= len(stream), "a header is cut")
        name, size = read_header(stream[at : at + BLOCK])
        start, end = at + BLOCK, at + BLOCK + size
        at = end + padding(size)
        expect(at <= len(stream), f"{name!r} is cut")
        expect(not any(stream[end:at]), f"there is something behind {name!r}")
        yield name, stream[start:end]
