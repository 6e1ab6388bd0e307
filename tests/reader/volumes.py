"""An archive in one file, or in a folder of volumes (FORMAT.md 6)."""

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from refused import expect

MAGIC = bytes.fromhex("512A4D18")
TAG = MAGIC + (168).to_bytes(4, "little") + b"SLVOLM01"
HEADER = 176
MAX_VOLUMES = 999
MAX_FILE = 1 << 50


@dataclass
class Volume:
    file: BinaryIO
    set: bytes
    packing: bytes
    number: int
    count: int
    offset: int
    length: int
    total: int


class Medium:
    """The bytes of an archive, by their places in it, whatever files they are in."""

    def __init__(self, path: str) -> None:
        self.files = ExitStack()
        names = [path] if os.path.isfile(path) else sorted(entry.path for entry in os.scandir(path) if entry.is_file())
        opened = [self.files.enter_context(open(name, "rb")) for name in names]
        volumes = [read_header(file) for file in opened if begins_with(file, MAGIC)]
        if os.path.isfile(path) and not volumes:
            self.length = os.path.getsize(path)
            self.stretches = [(0, self.length, 0, opened[0])]
        else:
            self.length, self.stretches = join(volumes)

    def read(self, offset: int, length: int) -> bytes:
        expect(offset + length <= self.length, "it ends too early")
        out = b""
        for start, size, place, file in self.stretches:
            at = offset + len(out)
            if start <= at < start + size and len(out) < length:
                file.seek(place + at - start)
                wanted = min(length - len(out), start + size - at)
                piece = file.read(wanted)
                expect(len(piece) == wanted, f"`{file.name}` is cut")
                out += piece
        return out

    def __enter__(self) -> "Medium":
        return self

    def __exit__(self, *_: object) -> None:
        self.files.close()


def begins_with(file: BinaryIO, magic: bytes) -> bool:
    return file.read(len(magic)) == magic


def read_header(file: BinaryIO) -> Volume:
    file.seek(0)
    header = file.read(HEADER)
    is_whole = len(header) == HEADER and header.startswith(TAG)
    expect(is_whole and hashlib.sha256(header[:144]).digest() == header[144:], f"`{file.name}` has a damaged header")
    numbers = [int.from_bytes(header[a:b], "little") for a, b in ((80, 84), (84, 88), (88, 96), (96, 104), (104, 112))]
    volume = Volume(file, header[16:48], header[48:80], *numbers)
    end = volume.offset + volume.length
    expect(1 <= volume.number <= volume.count <= MAX_VOLUMES, f"`{file.name}` has a wrong number")
    expect(0 < volume.length and end <= volume.total <= MAX_FILE, f"`{file.name}` has a wrong place")
    expect((volume.number == 1) == (volume.offset == 0), f"`{file.name}` does not begin where it must")
    expect((volume.number == volume.count) == (end == volume.total), f"`{file.name}` does not end where it must")
    expect(file.seek(0, 2) == HEADER + volume.length, f"`{file.name}` is shorter or longer than it says")
    return volume


def join(volumes: list[Volume]) -> tuple[int, list[tuple[int, int, int, BinaryIO]]]:
    """The stretches of the one set that is whole."""
    whole = []
    for found in {volume.set for volume in volumes}:
        members = sorted((volume for volume in volumes if volume.set == found), key=lambda volume: volume.number)
        first = members[0]
        lengths = b"".join(volume.length.to_bytes(8, "little") for volume in members)
        if hashlib.sha256(first.packing + lengths).digest() == found:
            whole.append(members)
    expect(len(whole) == 1, "there is not just one archive that is whole")
    members, at = whole[0], 0
    for number, volume in enumerate(members, 1):
        said = (volume.number, volume.count, volume.offset, volume.total, volume.packing)
        wanted = (number, len(members), at, members[0].total, members[0].packing)
        expect(said == wanted, "the volumes contradict each other")
        at += volume.length
    return at, [(volume.offset, volume.length, HEADER, volume.file) for volume in members]
