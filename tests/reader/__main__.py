"""A second reader of Sealift archives, written from archive/FORMAT.md and from nothing else.

    python3 tests/reader verify --trust root.json ARCHIVE...
    python3 tests/reader blob --trust root.json ARCHIVE sha256:HEX > FILE

An archive is a file, or a folder with all of its volumes.

`verify` checks all that the format says must be checked, down to the last byte, and lists the releases. `blob` reads
one blob, and of the data only the frames that it lies in. Status 0: done; 1: refused, and standard error says why.

It needs Python 3 and the program `zstd`. It is here to show that the page is exact: short rather than fast.
"""

import argparse
import sys

from archive import Archive
from refused import Refused
from volumes import Medium


def main() -> int:
    parser = argparse.ArgumentParser(prog="reader", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("verify", "blob"):
        arguments = commands.add_parser(command)
        arguments.add_argument("--trust", required=True, metavar="ROOT", help="the trust root that is believed")
        if command == "verify":
            arguments.add_argument("archives", metavar="archive", nargs="+")
        else:
            arguments.add_argument("archive")
            arguments.add_argument("digest")
    options = parser.parse_args()
    with open(options.trust, "rb") as file:
        trusted = file.read()
    if options.command == "blob":
        return attempt(options.archive, trusted, lambda archive: archive.write_blob(options.digest, sys.stdout.buffer))
    # Each of them is looked at, whatever comes of the one before.
    return max([attempt(path, trusted, lambda archive: verify(path, archive)) for path in options.archives])


def attempt(path: str, trusted: bytes, work) -> int:
    try:
        with Medium(path) as medium:
            work(Archive(medium, trusted))
        return 0
    except Refused as refused:
        print(f"{path}: refused: {refused}", file=sys.stderr)
        return 1


def verify(path: str, archive: Archive) -> None:
    archive.check_data()
    for release in archive.releases:
        print(f"{path}: {release.product} {release.version}, blobs: {len(release.blobs)}")


if __name__ == "__main__":
    sys.exit(main())
