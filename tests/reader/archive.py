"""The archive (FORMAT.md 1, 2, 4, 5), checked in the order of chapter 6."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import documents
import frames
import sha256_state
import trust
import ustar
from documents import KIB
from refused import Refused, expect
from volumes import Medium

MIB = KIB * KIB
HEAD = 256 * KIB
MAX_MEMBERS = 256
MAX_PAGES = 64
PAGE_CONTENT = 4 * MIB
FRONT_CONTENT = 64 * MIB
FRONT_MEMBER = 16 * MIB
FRAME_CONTENT = 16 * MIB
MAX_BLOB = 1 << 40
BLOB_LIST_LINE = 93
TAIL = frames.stored(bytes(1024))

MAGIC = b"SLCONT01"
IDENTITY, CHAINED = 0, 1
FRAME_RECORD = 44
BLOB_RECORD = 60

RELEASE_NAME = re.compile(r"releases/([1-9][0-9]*)/release\.json")
ROOT_NAME = re.compile(r"root/([1-9][0-9]*)\.json")
SIGNATURE_NAME = re.compile(r"signatures/([0-9a-f]{64})/[0-9a-f]{64}\.sigstore\.json")


@dataclass
class Release:
    product: str
    version: str
    sequence: int
    statement: bytes
    blobs: dict[str, int]


@dataclass
class Frame:
    offset: int
    length: int
    content: int
    hash: bytes
    last_blob: int


@dataclass
class Blob:
    digest: str
    size: int
    encoding: int
    frame: int
    offset: int
    # Of a chained blob, the last of its frames.
    last_frame: int = -1


class Archive:
    """An archive whose head and front have been checked."""

    def __init__(self, medium: Medium, trusted: bytes) -> None:
        self.read = medium.read
        head = read_head(self.read(0, HEAD))
        self.packing = documents.parse("pack.json", head.packing, 64 * KIB, "Packing", documents.PACKING)
        root = trust.follow(head.roots, trusted, head.signatures)
        root.check("pack.json", head.packing, "pack", head.signatures)
        length, data = self.packing["length"], self.packing["dataOffset"]
        expect(medium.length == length, "the file is shorter or longer than it says")
        pages_end = self.check_places()
        tail = length - len(TAIL)
        expect(data <= tail, "the data begins behind its end")
        expect(self.read(tail, len(TAIL)) == TAIL, "the tail is damaged")
        for sequence, statement in head.statements.items():
            root.check(f"releases/{sequence}/release.json", statement, "release", head.signatures)
        self.read_front(head.statements, tail - data)
        expect(frames.is_filler(self.read(pages_end, data - pages_end)), "the filler of the front is damaged")
        self.check_releases()

    def check_places(self) -> int:
        """Makes sure that the pages are one behind the other, and the data behind them; says where they end."""
        pages = self.packing["pages"]
        expect(len(pages) <= MAX_PAGES, "there are too many pages")
        end = HEAD
        for page in pages:
            expect(0 < page["plainLength"] <= PAGE_CONTENT, "a page has a content of a wrong size")
            expect(0 < page["length"] <= frames.stored_length(page["plainLength"]), "a page has a wrong length")
            expect(page["offset"] == end, "a page is not where the one before it ends")
            end += page["length"]
        expect(sum(page["plainLength"] for page in pages) <= FRONT_CONTENT, "the pages hold too much")
        data = self.packing["dataOffset"]
        expect(8 <= data - end <= FRONT_CONTENT and data % 4096 == 0, "the data does not begin where it may")
        return end

    def read_front(self, statements: dict[int, bytes], data_length: int) -> None:
        front = self.front_members()

        def take(wanted: str, most: int) -> bytes:
            name, content = next(front, ("", b""))
            expect(name == wanted, f"`{wanted}` is not in its place")
            expect(len(content) <= min(most, FRONT_MEMBER), f"`{wanted}` is too large")
            return content

        self.releases = []
        for sequence, data in statements.items():
            folder = f"releases/{sequence}"
            statement = documents.parse(folder, data, 64 * KIB, "Statement", documents.STATEMENT)
            expect(statement["sequence"] == sequence >= statement["floor"], f"`{folder}` contradicts itself")
            summary = statement["blobList"]
            text = take(f"{folder}/blobs", summary["count"] * BLOB_LIST_LINE)
            refs = take(f"{folder}/refs.json", statement["refs"]["size"])
            blobs = read_release(folder, statement, text, refs)
            self.releases.append(Release(statement["product"], statement["version"], sequence, data, blobs))
        self.read_contents(take("contents", FRONT_MEMBER), data_length)
        expect(next(front, None) is None, "there is something behind `contents`")

    def front_members(self) -> Iterator[tuple[str, bytes]]:
        stream = b""
        for page in self.packing["pages"]:
            data = self.read(page["offset"], page["length"])
            expect(digest_of(data) == page["digest"], "a page of the front is damaged")
            stream += frames.content_of(data, page["plainLength"])
        yield from ustar.members(stream)

    def read_contents(self, table: bytes, data_length: int) -> None:
        expect(table[:8] == MAGIC and len(table) >= 16, "`contents` does not begin as it must")
        frame_count, blob_count = (int.from_bytes(table[at : at + 4], "little") for at in (8, 12))
        blobs_at = 16 + FRAME_RECORD * frame_count
        expect(len(table) == blobs_at + BLOB_RECORD * blob_count, "`contents` has another length than its counts say")
        self.frames, offset = [], 0
        for at in range(16, blobs_at, FRAME_RECORD):
            length, content, last_blob = (int.from_bytes(table[at + n : at + n + 4], "little") for n in (0, 4, 40))
            expect(0 < content <= FRAME_CONTENT and content % 512 == 0, "a frame has a content of a wrong size")
            expect(0 < length <= frames.stored_length(content), "a frame has a wrong length")
            self.frames.append(Frame(offset, length, content, table[at + 8 : at + 40], last_blob))
            offset += length
        expect(offset == data_length, "the frames are not as long as the data")
        self.blobs = [read_blob_record(table[at : at + BLOB_RECORD]) for at in range(blobs_at, len(table), BLOB_RECORD)]
        self.check_blob_places()

    def check_blob_places(self) -> None:
        """Makes sure that the frames hold the members of the blobs, one behind the other, and nothing else."""
        starts, end = [], 0
        for frame in self.frames:
            starts.append(end)
            end += frame.content
        ends, at = [*starts[1:], end], 0
        for blob in self.blobs:
            expect(blob.frame < len(self.frames), "a blob begins in a frame that is not there")
            content = self.frames[blob.frame].content
            inside = blob.offset < content if blob.size else 0 < blob.offset <= content
            expect(inside and starts[blob.frame] + blob.offset == at + 512, "a blob is not where its member is")
            at += 512 + blob.size + ustar.padding(blob.size)
            if blob.encoding == CHAINED:
                expect(blob.offset == 512 and at in ends, "a chained blob shares a frame")
                blob.last_frame = ends.index(at)
                own = self.frames[blob.frame : blob.last_frame + 1]
                is_stored = all(frame.length == frames.stored_length(frame.content) for frame in own)
                expect(is_stored and own[-1].hash.hex() == blob.digest[7:], "a chain does not lead to its blob")
        expect(at == end, "the frames hold more or less than the blobs")
        for number, frame in enumerate(self.frames):
            begun = sum(blob.frame <= number for blob in self.blobs)
            expect(frame.last_blob == begun - 1, "a frame names another last blob than it has")

    def check_releases(self) -> None:
        """Makes sure that what the file carries is what its releases list, and that they belong together."""
        statements = [digest_of(release.statement) for release in self.releases]
        expect(self.releases and statements == self.packing["statements"], "`pack.json` lists other statements")
        products = {release.product for release in self.releases}
        versions = {release.version for release in self.releases}
        expect(len(products) == 1 and len(versions) == len(self.releases), "the releases do not belong together")
        needs = self.packing.get("needs", [])
        sequences = [need["sequence"] for need in needs]
        carried = {release.sequence for release in self.releases}
        expect(sequences == sorted(set(sequences)) and not carried & set(sequences), "`needs` is not in order")
        expect(products >= {need["product"] for need in needs}, "`needs` names another product")
        expect(not {need["statement"] for need in needs} & set(statements), "it needs what it carries")
        listed: dict[str, int] = {}
        for release in self.releases:
            for digest, size in release.blobs.items():
                expect(listed.setdefault(digest, size) == size, f"{digest} has two sizes")
        here = {blob.digest for blob in self.blobs}
        expect(len(here) == len(self.blobs), "a blob is there twice")
        for blob in self.blobs:
            expect(listed.get(blob.digest) == blob.size, f"{blob.digest} is on no list, or has another size there")
        expect(needs or here == listed.keys(), "a blob is missing")

    def content_of_frame(self, number: int) -> bytes:
        frame = self.frames[number]
        data = self.read(self.packing["dataOffset"] + frame.offset, frame.length)
        expect(hashlib.sha256(data).digest() == frame.hash, f"frame {number} is damaged")
        try:
            return frames.content_of(data, frame.content)
        except Refused as refused:
            raise Refused(f"frame {number}: {refused}") from None

    def chained(self, blob: Blob) -> Iterator[bytes]:
        """A chained blob, frame by frame; the state behind a frame is compared before its bytes are given away."""
        header, left = ustar.header(f"blobs/sha256/{blob.digest[7:]}", blob.size), blob.size
        state, hashed = sha256_state.START, hashlib.sha256()
        for number in range(blob.frame, blob.last_frame + 1):
            frame = self.frames[number]
            data = self.read(self.packing["dataOffset"] + frame.offset, frame.length)
            content = frames.content_of_stored(data)
            expect(content.startswith(header), f"the header of {blob.digest} is another one")
            piece, rest = content[len(header) :][:left], content[len(header) + left :]
            header, left = b"", left - len(piece)
            hashed.update(piece)
            if number < blob.last_frame:
                state = sha256_state.after(state, piece)
                expect(state == frame.hash, f"frame {number} is damaged")
            else:
                expect(hashed.digest() == frame.hash, f"frame {number} is damaged")
            expect(not any(rest), f"there is something behind {blob.digest}")
            # Its hash is right; what is left is the checksum, which zstd compares.
            frames.decompress(data, frame.content)
            yield piece

    def check_data(self) -> None:
        """Makes sure that the data are the members of the blobs, byte for byte."""
        stream, number = b"", 0

        def take(length: int) -> Iterator[bytes]:
            nonlocal stream, number
            while length:
                if not stream:
                    stream, number = self.content_of_frame(number), number + 1
                piece, stream = stream[:length], stream[length:]
                length -= len(piece)
                yield piece

        for blob in self.blobs:
            if blob.encoding == CHAINED:
                expect(not stream, "a chained blob shares a frame")
                for _ in self.chained(blob):
                    pass
                number = blob.last_frame + 1
                continue
            header = ustar.header(f"blobs/sha256/{blob.digest[7:]}", blob.size)
            expect(b"".join(take(512)) == header, f"the header of {blob.digest} is another one")
            hashed = hashlib.sha256()
            for piece in take(blob.size):
                hashed.update(piece)
            expect(f"sha256:{hashed.hexdigest()}" == blob.digest, f"{blob.digest} is really {hashed.hexdigest()}")
            expect(not any(b"".join(take(ustar.padding(blob.size)))), f"there is something behind {blob.digest}")

    def write_blob(self, digest: str, out: BinaryIO) -> None:
        """Writes one blob; whoever takes it believes it only if this ends well."""
        blob = next((blob for blob in self.blobs if blob.digest == digest), None)
        expect(blob, f"{digest} is not in it")
        if blob.encoding == CHAINED:
            out.writelines(self.chained(blob))
            return
        number, start, left, hashed = blob.frame, blob.offset, blob.size, hashlib.sha256()
        while left:
            piece = self.content_of_frame(number)[start : start + left]
            hashed.update(piece)
            out.write(piece)
            number, start, left = number + 1, 0, left - len(piece)
        expect(f"sha256:{hashed.hexdigest()}" == digest, f"{digest} is really {hashed.hexdigest()}")


@dataclass
class Head:
    packing: bytes
    statements: dict[int, bytes]
    roots: dict[int, trust.Root]
    signatures: trust.Signatures


def read_head(area: bytes) -> Head:
    content, filler = frames.split_stored(area)
    expect(frames.is_filler(filler), "the filler of the head is damaged")
    members = list(ustar.members(content))
    expect(len(members) <= MAX_MEMBERS, "the head has too many members")
    expect(members and members[0][0] == "pack.json", "the head does not begin with `pack.json`")
    head = Head(members[0][1], {}, {}, trust.Signatures())
    before: tuple = ()
    for name, data in members[1:]:
        if found := RELEASE_NAME.fullmatch(name):
            place = 0, int(found[1])
            head.statements[place[1]] = data
        elif found := ROOT_NAME.fullmatch(name):
            place = 1, int(found[1])
            head.roots[place[1]] = trust.Root(name, data)
            expect(head.roots[place[1]].version == place[1], f"`{name}` has another version")
        elif found := SIGNATURE_NAME.fullmatch(name):
            place = 2, name
            head.signatures.add(found[1], data)
        else:
            raise Refused(f"{name!r} does not belong in the head")
        expect(place > before, f"{name!r} is not in its place")
        before = place
    expect(head.statements, "the head has no statement")
    return head


def read_release(folder: str, statement: dict, text: bytes, refs_text: bytes) -> dict[str, int]:
    """The blobs of a release, once blob list and refs are what the statement says, and fit each other."""
    summary = statement["blobList"]
    expect(digest_of(text) == summary["digest"], f"`{folder}/blobs` is another list")
    blob = {"digest": digest_of(refs_text), "size": len(refs_text)}
    expect(blob == statement["refs"], f"`{folder}/refs.json` is another one")
    blobs = documents.parse_blob_list(f"{folder}/blobs", text)
    expect(
        (len(blobs), sum(blobs.values())) == (summary["count"], summary["contentBytes"]),
        f"`{folder}/blobs` is counted otherwise",
    )
    refs = documents.parse_refs(f"{folder}/refs.json", refs_text)
    images, manifests = refs["images"], refs["manifests"]
    named = [*images.values(), *refs.get("files", {}).values()]
    named += [{"digest": digest} | manifest for digest, manifest in manifests.items()]
    named += [each for referrers in refs.get("referrers", {}).values() for each in referrers]
    for descriptor in named:
        digest = descriptor["digest"]
        expect(blobs.get(digest) == descriptor["size"], f"{digest} is not on the blob list, or has another size there")
    packs = {pack for repository in refs.get("git", {}).values() for pack in repository["packs"]}
    aliases = refs.get("aliases", {})
    expect(packs | set(aliases.values()) <= blobs.keys(), "a pack or an alias is not on the blob list")
    tags: dict[str, str] = {}
    for reference, descriptor in images.items():
        name, _, digest = reference.partition("@")
        expect(descriptor["digest"] in manifests, f"`{reference}` leads to what is no manifest")
        expect(not digest or aliases.get(digest, digest) == descriptor["digest"], f"`{reference}` leads elsewhere")
        if ":" in name.rpartition("/")[2]:
            expect(tags.setdefault(name, descriptor["digest"]) == descriptor["digest"], f"`{name}` leads to two things")
    return blobs


def read_blob_record(record: bytes) -> Blob:
    size, encoding, frame, offset, length = (
        int.from_bytes(record[start:end], "little") for start, end in ((32, 40), (40, 44), (44, 48), (48, 52), (52, 60))
    )
    expect(encoding in (IDENTITY, CHAINED), "a blob has an encoding that is not known here")
    expect(size == length <= MAX_BLOB, "a blob has a wrong size")
    return Blob(f"sha256:{record[:32].hex()}", size, encoding, frame, offset)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
