"""zstd frames (FORMAT.md 1.1, 1.2, 4; RFC 8878). Stored frames and filler are taken apart here; other frames are given
to `zstd`, once their header has shown that they are one frame, and how much will come of it."""

import subprocess

from refused import expect

MAGIC = bytes.fromhex("28B52FFD")
STORED = MAGIC + b"\xa4"
FILLER = bytes.fromhex("502A4D18")
BLOCK = 128 << 10
MAX_WINDOW = 16 << 20

RAW, RLE, COMPRESSED = 0, 1, 2

MASK = (1 << 64) - 1
PRIMES = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def stored_length(content: int) -> int:
    return 9 + content + 3 * -(-content // BLOCK) + 4


def stored(content: bytes) -> bytes:
    """The stored frame of a content: there is one form of it."""
    return stored_blocks(content) + (xxh64(content) & 0xFFFFFFFF).to_bytes(4, "little")


def stored_blocks(content: bytes) -> bytes:
    """The same without the checksum."""
    out = bytearray(STORED + len(content).to_bytes(4, "little"))
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        last = start + BLOCK >= len(content)
        out += (len(block) << 3 | last).to_bytes(3, "little") + block
    return bytes(out)


def content_of_stored(frame: bytes) -> bytes:
    """The content of a stored frame whose checksum is somebody else's business."""
    blocks = frame[9:-4]
    content = b"".join(blocks[at + 3 : at + 3 + BLOCK] for at in range(0, len(blocks), BLOCK + 3))
    expect(content and stored_blocks(content) == frame[:-4], "it is not in the form of a stored frame")
    return content


def split_stored(area: bytes) -> tuple[bytes, bytes]:
    """The content of the stored frame at the start of an area, and what is behind the frame."""
    expect(area.startswith(STORED), "it does not begin with a stored frame")
    end = stored_length(int.from_bytes(area[5:9], "little"))
    expect(end <= len(area), "its first frame is longer than the head may be")
    content = content_of_stored(area[:end])
    expect(stored(content) == area[:end], "its first frame is damaged")
    return content, area[end:]


def is_filler(data: bytes) -> bool:
    return len(data) >= 8 and data == FILLER + (len(data) - 8).to_bytes(4, "little") + bytes(len(data) - 8)


def content_of(frame: bytes, size: int) -> bytes:
    """The content of a frame whose hash has been checked."""
    check_form(frame, size)
    return decompress(frame, size)


def decompress(frame: bytes, size: int) -> bytes:
    done = subprocess.run(["zstd", "-dcq"], input=frame, capture_output=True, check=False)
    expect(done.returncode == 0 and len(done.stdout) == size, "zstd does not decompress it to what was announced")
    return done.stdout


def check_form(frame: bytes, size: int) -> None:
    """One frame with a checksum and this content size, without a dictionary, with a window that is allowed."""
    expect(len(frame) > 6 and frame.startswith(MAGIC), "it is no zstd frame")
    descriptor = frame[4]
    single_segment = descriptor >> 5 & 1
    expect(descriptor & 0b1011 == 0 and descriptor & 0b100, "it has a dictionary, or no checksum")
    at = 5
    if not single_segment:
        exponent, mantissa = frame[5] >> 3, frame[5] & 7
        window = (1 << 10 + exponent) // 8 * (8 + mantissa)
        expect(window <= MAX_WINDOW, f"its window has {window} bytes")
        at += 1
    size_bytes = (single_segment, 2, 4, 8)[descriptor >> 6]
    said = int.from_bytes(frame[at : at + size_bytes], "little") + (256 if size_bytes == 2 else 0)
    expect(size_bytes and said == size, f"it does not say that its content has {size} bytes")
    at += size_bytes
    last = False
    while not last:
        expect(at + 3 <= len(frame), "it is cut")
        header = int.from_bytes(frame[at : at + 3], "little")
        last, kind, length = header & 1, header >> 1 & 3, header >> 3
        expect(kind in (RAW, RLE, COMPRESSED), "it has a block of an unknown kind")
        at += 3 + (1 if kind == RLE else length)
    expect(at + 4 == len(frame), "it is cut, or not alone")


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0."""
    p1, p2, p3, p4, p5 = PRIMES
    at = 0
    if len(data) >= 32:
        lanes = [p1 + p2 & MASK, p2, 0, -p1 & MASK]
        for at in range(0, len(data) - 31, 32):
            for lane in range(4):
                word = int.from_bytes(data[at + 8 * lane : at + 8 * lane + 8], "little")
                lanes[lane] = xxh64_round(lanes[lane], word)
        at += 32
        value = sum(rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            value = ((value ^ xxh64_round(0, lane)) * p1 + p4) & MASK
    else:
        value = p5
    value = value + len(data) & MASK
    while at + 8 <= len(data):
        word = int.from_bytes(data[at : at + 8], "little")
        value = (rotate(value ^ xxh64_round(0, word), 27) * p1 + p4) & MASK
        at += 8
    if at + 4 <= len(data):
        word = int.from_bytes(data[at : at + 4], "little")
        value = (rotate(value ^ word * p1 & MASK, 23) * p2 + p3) & MASK
        at += 4
    for byte in data[at:]:
        value = rotate(value ^ byte * p5 & MASK, 11) * p1 & MASK
    value = (value ^ value >> 33) * p2 & MASK
    value = (value ^ value >> 29) * p3 & MASK
    return value ^ value >> 32


def xxh64_round(lane: int, word: int) -> int:
    return rotate(lane + word * PRIMES[1] & MASK, 31) * PRIMES[0] & MASK


def rotate(value: int, by: int) -> int:
    return (value << by | value >> 64 - by) & MASK


