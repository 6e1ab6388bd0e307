"""A second reader of Sealift archives, written from archive/FORMAT.md and from nothing else.

    python3 tests/reader verify --trust root.json ARCHIVE
    python3 tests/reader blob --trust root.json ARCHIVE sha256:HEX > FILE

`verify` checks all that the format says must be checked, down to the last byte, and lists the releases. `blob` reads
one blob, and of the data only the frames that it lies in. Status 0: done; 1: refused, and standard error says why.
It needs Python 3 and the program `zstd`; it is here to show that the page is exact, so it is short rather than fast.
"""

import argparse
import sys

from archive import Archive
from refused import Refused


def main() -> int:
    parser = argparse.ArgumentParser(prog="reader", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("verify", "blob"):
        arguments = commands.add_parser(command)
        arguments.add_argument("--trust", required=True, metavar="ROOT", help="the trust root that is believed")
        arguments.add_argument("archive")
        if command == "blob":
            arguments.add_argument("digest")
    options = parser.parse_args()
    with open(options.trust, "rb") as file:
        trusted = file.read()
    try:
        with open(options.archive, "rb") as file:
            archive = Archive(file, trusted)
            if options.command == "verify":
                archive.check_data()
                for release in archive.releases:
                    print(release.product, release.version, release.sequence, len(release.blobs))
            else:
                archive.write_blob(options.digest, sys.stdout.buffer)
    except Refused as refused:
        print(f"refused: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
